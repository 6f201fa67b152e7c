import assert from 'node:assert/strict'
import { appendFile, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { parseRepositoryName } from '../../../src/oci/reference.ts'
import { openPins } from '../../../src/store/cache/pins.ts'
import { pinsPath } from '../../../src/store/paths.ts'
import { createTemporary } from '../../../src/store/temporary.ts'
import { ownDirectory } from '../../support/directory.ts'

const d = (name: string): Digest => digestOf(Buffer.from(name))
const app = parseRepositoryName('docker.io/library/app')

/** Of a cache of 200 bytes, half of which may be pinned. */
async function open(t: TestContext, root?: string) {
  const directory = root ?? (await ownDirectory(t))
  const pins = await openPins({
    root: directory,
    temporary: createTemporary(directory),
    maxSize: 200,
    onWritten: () => {},
  })
  return { root: directory, pins }
}

const pin = (image: string, parts: Readonly<Record<string, number>>) => ({
  name: app,
  digest: d(image),
  at: 1_764_000_000_000,
  parts: new Map(Object.entries(parts).map(([part, size]) => [d(part), size] as const)),
})

test('pins are there after a restart, without lines that are not theirs', async (t) => {
  const { root, pins } = await open(t)
  await pins.add(pin('one', { a: 10, b: 20 }))
  await pins.add(pin('two', { b: 20, c: 5 }))
  await appendFile(pinsPath(root), `pin ../etc ${d('x')} 1\nnonsense\n${d('y')} -5\n${d('z')}`)
  const { pins: again } = await open(t, root)
  assert.deepEqual(again.list(), [pin('one', { a: 10, b: 20 }), pin('two', { b: 20, c: 5 })])
  assert.equal(again.bytes(), 35, 'a part of two images counts once')
  assert.deepEqual(
    ['a', 'b', 'c', 'y', 'z'].map((part) => again.holds(d(part))),
    [true, true, true, false, false],
  )
})

test('what two images have stays pinned until both are unpinned', async (t) => {
  const { pins } = await open(t)
  await Promise.all([pins.add(pin('one', { a: 10, b: 20 })), pins.add(pin('two', { b: 20 }))])
  assert.equal(await pins.remove(app, d('one')), true)
  assert.deepEqual([pins.holds(d('a')), pins.holds(d('b'))], [false, true])
  assert.equal(await pins.remove(app, d('one')), false)
  assert.equal(await pins.remove(app, d('two')), true)
  assert.equal(pins.holds(d('b')), false)
})

test('more than half of the cache is not pinned, and an image may be pinned again', async (t) => {
  const { pins } = await open(t)
  await pins.add(pin('one', { a: 60 }))
  await assert.rejects(pins.add(pin('two', { a: 60, b: 41 })), {
    code: 'UNSUPPORTED',
    status: 409,
    message: /it needs 41 bytes, 60 are pinned, and 100 may be/,
  })
  await pins.add(pin('two', { a: 60, b: 40 }))
  await pins.add(pin('one', { a: 60 }))
  assert.equal(pins.list().length, 2)
  const many = Object.fromEntries(Array.from({ length: 2001 }, (_, at) => [String(at), 0]))
  await assert.rejects(pins.add(pin('many', many)), /2001 parts/)
})

test('a pin that cannot be written is an error, and pins nothing', async (t) => {
  const { root, pins } = await open(t)
  await pins.add(pin('one', { a: 1 }))
  await rm(pinsPath(root))
  await mkdir(join(pinsPath(root), 'in-the-way'), { recursive: true })
  await assert.rejects(pins.add(pin('two', { b: 1 })), { code: 'UNAVAILABLE' })
  assert.equal(pins.holds(d('b')), false)
})
