import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { makeImage } from '../support/images.ts'
import { until } from '../support/until.ts'
import { newRoot, untilVerified, useIndex } from './use-index.ts'
import { createVolume, type Volume } from './volume.ts'

const app = parseRepositoryName('p/app')

/** A volume with an image, whose index was closed in order. */
async function closed(t: TestContext) {
  const volume = createVolume()
  const root = await newRoot()
  const { index } = useIndex(t, { root, source: volume.source })
  await untilVerified(index)
  index.apply(volume.pushImage('p/app', makeImage(), 1000, 'v1'))
  await index.close()
  return { volume, root }
}

/** A source whose blobs cannot be listed before the gate is open. */
function gated({ source }: Volume) {
  const gate = Promise.withResolvers<void>()
  return {
    open: gate.resolve,
    source: {
      ...source,
      blobs: {
        ...source.blobs,
        async *list() {
          await gate.promise
          yield* source.blobs.list()
        },
      },
    },
  }
}

const isComplete = (problem: () => string | undefined) =>
  until('the index answers', () => assert.equal(problem(), undefined))

test('after a restart it answers before the volume was compared, but is not verified', async (t) => {
  const { volume, root } = await closed(t)
  const { open, source } = gated(volume)
  const { index } = useIndex(t, { root, source })
  await isComplete(index.problem)
  assert.deepEqual((await index.tags(app, {})).entries, ['v1'])
  assert.match(index.unverified() ?? '', /has not been compared/)
  open()
  await untilVerified(index)
})

test('when another program has written to the volume, it does not answer before it was compared', async (t) => {
  const { volume, root } = await closed(t)
  volume.setTag('p/app', 'v2', makeImage().digest, 2000)
  volume.changeFingerprint()
  const { open, source } = gated(volume)
  const { index } = useIndex(t, { root, source })
  await until('it compares', () =>
    assert.match(index.problem() ?? '', /^comparing .*: 0 of about 4/),
  )
  await assert.rejects(index.tags(app, {}), { code: 'UNAVAILABLE' })
  open()
  await untilVerified(index)
  assert.deepEqual((await index.tags(app, {})).entries, ['v1', 'v2'])
})

test('after a kill it does not answer before it was compared', async (t) => {
  const { volume, root } = await closed(t)
  const mark = join(root, '_berth', 'clean')
  const text = await readFile(mark, 'utf8')
  const first = useIndex(t, { root, source: volume.source })
  await isComplete(first.index.problem)
  await assert.rejects(readFile(mark), { code: 'ENOENT' })
  first.index.apply(volume.setTag('p/app', 'v2', makeImage().digest, 2000))
  await first.index.close()
  // The mark of an earlier end, as after a power loss: it does not belong to this state.
  await writeFile(mark, text)
  const { open, source } = gated(volume)
  const { index } = useIndex(t, { root, source })
  await until('it compares', () => assert.match(index.problem() ?? '', /^comparing/))
  await assert.rejects(index.totals(), { code: 'UNAVAILABLE' })
  assert.ok((await index.bytes('p')).unique > 0, 'an estimate for quotas')
  open()
  await untilVerified(index)
  assert.deepEqual((await index.tags(app, {})).entries, ['v1', 'v2'])
})

test('what was added or removed while nobody looked is corrected', async (t) => {
  const { volume, root } = await closed(t)
  volume.pushImage('p/new', makeImage(), 2000, 'v1')
  volume.untag('p/app', 'v1')
  const { index } = useIndex(t, { root, source: volume.source })
  await untilVerified(index)
  assert.deepEqual((await index.repositories({})).entries, ['p/app', 'p/new'])
  assert.deepEqual((await index.tags(app, {})).entries, [])
})

test('a second process waits for the database, and has it when the first one ends', async (t) => {
  const volume = createVolume()
  const root = await newRoot()
  const first = useIndex(t, { root, source: volume.source })
  await untilVerified(first.index)
  const second = useIndex(t, { root, source: volume.source })
  await until('the second cannot open it', () =>
    assert.match(second.index.problem() ?? '', /locked/),
  )
  first.index.apply(volume.pushImage('p/app', makeImage(), 1000, 'v1'))
  await first.index.close()
  await untilVerified(second.index)
  assert.deepEqual((await second.index.tags(app, {})).entries, ['v1'])
})

test('a change that comes before the database is open is not lost', async (t) => {
  const volume = createVolume()
  const { index } = useIndex(t, { root: await newRoot(), source: volume.source })
  index.apply(volume.pushImage('p/app', makeImage(), 1000, 'v1'))
  await untilVerified(index)
  assert.deepEqual((await index.tags(app, {})).entries, ['v1'])
})

test('without content it starts with the first change', async (t) => {
  const volume = createVolume()
  const root = await newRoot()
  const { index, directory } = useIndex(t, { root, source: volume.source, lazy: true })
  assert.ok(index.isWaiting())
  assert.match(index.problem() ?? '', /first push/)
  index.apply(volume.pushImage('p/app', makeImage(), 1000, 'v1'))
  await untilVerified(index)
  assert.ok(!index.isWaiting())
  assert.deepEqual((await index.tags(app, {})).entries, ['v1'])
  await rm(directory, { recursive: true })
})

test('a request to compare the volume resolves when it was compared after the request', async (t) => {
  const volume = createVolume()
  const { index } = useIndex(t, { root: await newRoot(), source: volume.source })
  await untilVerified(index)
  volume.pushImage('p/app', makeImage(), 1000, 'v1')
  await index.verify()
  assert.deepEqual((await index.tags(app, {})).entries, ['v1'])
})

test('a manifest that cannot be read keeps it from being verified, and is named', async (t) => {
  const volume = createVolume()
  const image = makeImage()
  volume.pushImage('p/app', image, 1000, 'v1')
  const { source } = volume
  const { index } = useIndex(t, {
    root: await newRoot(),
    source: {
      ...source,
      blobs: {
        ...source.blobs,
        read: async (digest, limit) =>
          digest === image.digest ? undefined : source.blobs.read(digest, limit),
      },
    },
  })
  await until('it says so', () =>
    assert.match(
      index.unverified() ?? '',
      new RegExp(`cannot read manifest ${image.digest} of p/app`),
    ),
  )
  assert.equal(index.problem(), undefined)
})
