import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Copies, type Copy, createCopies } from '../../src/archive/copies.ts'
import { bytesOf } from '../support/archives.ts'
import { ownDirectory } from '../support/directory.ts'

type Options = Partial<Parameters<typeof createCopies>[0]>

async function open(t: TestContext, options: Options = {}) {
  const directory = await ownDirectory(t)
  const copies = createCopies({ directory, ...options })
  t.after(() => copies.close())
  return { copies, directory }
}

async function copyOf(copies: Copies, bytes: Buffer, size: number): Promise<Copy | undefined> {
  const writer = copies.create()
  for (let at = 0; at < bytes.length; at += size) await writer.write(bytes.subarray(at, at + size))
  return writer.end()
}

test('copies in memory and in the file have their bytes, from any byte on', async (t) => {
  const { copies, directory } = await open(t, { maxMemory: 150_000 })
  const contents = [100_000, 100_000, 700_000, 0, 1].map((size) => randomBytes(size))
  const made = []
  for (const bytes of contents) made.push(await copyOf(copies, bytes, 30_000))
  assert.deepEqual(await readdir(directory), [], 'the file has no name')
  for (const [at, bytes] of contents.entries())
    for (const start of [0, 1, 29_999, 60_000, 650_000, bytes.length]) {
      const copy = made[at]
      assert.ok(copy)
      const read = await bytesOf(copy({ start: Math.min(start, bytes.length) }))
      assert.deepEqual(read, bytes.subarray(start))
    }
})

test('without a directory that can be written, small copies are kept and large ones are not', async (t) => {
  const { directory } = await open(t)
  const { copies } = await open(t, { directory: join(directory, 'missing'), maxMemory: 1000 })
  const small = randomBytes(600)
  assert.equal(await copyOf(copies, randomBytes(2000), 500), undefined)
  const kept = await copyOf(copies, small, 200)
  assert.ok(kept, 'the memory of a copy that was given up is free again')
  assert.deepEqual(await bytesOf(kept()), small)
})

test('the file has a limit, and what was kept before stays', async (t) => {
  const { copies } = await open(t, { maxMemory: 0, maxFile: 1000 })
  const first = randomBytes(800)
  const kept = await copyOf(copies, first, 100)
  assert.equal(await copyOf(copies, randomBytes(300), 100), undefined)
  assert.ok(kept)
  assert.deepEqual(await bytesOf(kept()), first)
})
