import assert from 'node:assert/strict'
import { mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import type { Event } from '../../../src/index/database/activity.ts'
import { formatEvent, parseEvent } from '../../../src/index/database/journal-lines.ts'
import { createOperations } from '../../../src/index/database/operations.ts'
import type { Change } from '../../../src/index/index.ts'
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import { parseRepositoryName, parseTag, type RepositoryName } from '../../../src/oci/reference.ts'
import { ownDirectory } from '../../support/directory.ts'
import { makeImage } from '../../support/images.ts'
import { createVolume } from '../volume.ts'

const app = parseRepositoryName('p/app')
const v1 = parseTag('v1')
const image = makeImage()
/** Long before any test. */
const longAgo = 1000
const minute = 60_000

const pulled = (at: number): Change => ({ kind: 'pulled', name: app, digest: image.digest, at })
const tagPulled = (at: number): Change => ({ ...pulled(at), tag: v1 }) as Change

function openIn(t: TestContext, directory: string) {
  const operations = createOperations({
    database: join(directory, 'index.db'),
    journal: join(directory, 'journal'),
    cleanMark: join(directory, 'clean'),
  })
  operations.open({ discard: false, pullsLost: false })
  t.after(() => operations.close(undefined))
  return {
    ...operations,
    image: () => {
      const [found] = operations.images(app)
      assert.ok(found)
      return found
    },
  }
}

/** A database with an image that was pushed after its journal began. */
async function start(t: TestContext) {
  const directory = await ownDirectory(t)
  const pushedAt = Date.now() + minute
  const push = createVolume().pushImage('p/app', image, pushedAt, 'v1')
  const index = openIn(t, directory)
  index.apply(push)
  const deleteDatabase = async () => {
    index.close(undefined)
    for (const end of ['', '-wal']) await rm(join(directory, `index.db${end}`), { force: true })
  }
  return { directory, pushedAt, push, index, journal: join(directory, 'journal'), deleteDatabase }
}

test('what was pulled, pushed and pinned survives the database', async (t) => {
  const { directory, pushedAt, push, index, deleteDatabase } = await start(t)
  const at = pushedAt + minute
  index.apply([
    { ...pulled(at) },
    tagPulled(at + minute),
    { kind: 'pinned', name: app, digest: image.digest, at, by: 'user alice' },
    ...push.map((change) => (change.kind === 'manifest' ? { ...change, by: 'user ci' } : change)),
  ])
  const before = index.image()
  assert.deepEqual(
    [before.pulledAt, before.pushedAt, before.pushedBy, before.pinned],
    [at, pushedAt, 'user ci', true],
  )
  assert.deepEqual(before.tags, [{ tag: v1, at: pushedAt, pulledAt: at + minute }])
  await deleteDatabase()
  const again = openIn(t, directory)
  // As a comparison with the volume finds it.
  again.apply(push.filter(({ kind }) => kind !== 'manifest'))
  again.beginVerification()
  again.foundManifests(app, [image.digest])
  again.addManifests([image])
  assert.deepEqual(again.image(), before)
})

test('pulls within a minute are one', async (t) => {
  const { journal, pushedAt, index } = await start(t)
  const at = pushedAt + minute
  const { size } = await stat(journal)
  for (const later of [0, 1, minute - 1]) index.apply([pulled(at + later), tagPulled(at + later)])
  assert.equal(index.image().pulledAt, at)
  const lines = (await readFile(journal, 'utf8')).slice(size).trim().split('\n')
  assert.equal(lines.length, 2)
  index.apply([pulled(at + minute)])
  assert.equal(index.image().pulledAt, at + minute)
})

test('a pull by tag does not count for the digest', async (t) => {
  const { index, pushedAt } = await start(t)
  index.apply([tagPulled(pushedAt + minute)])
  assert.equal(index.image().pulledAt, undefined)
})

test('an unpinned image is not pinned after a restart', async (t) => {
  const { directory, pushedAt, push, index, deleteDatabase } = await start(t)
  index.apply([
    { kind: 'pinned', name: app, digest: image.digest, at: pushedAt },
    { kind: 'unpinned', name: app, digest: image.digest },
  ])
  await deleteDatabase()
  const again = openIn(t, directory)
  again.apply(push)
  assert.equal(again.image().pinned, false)
})

/** Ways in which a journal and its database are lost. */
const losses: Readonly<Record<string, (journal: string, directory: string) => Promise<unknown>>> = {
  'when the journal is deleted with the database': (journal) => rm(journal),
  'when the journal is empty': (journal) => truncate(journal, 0),
  'when a line of the journal is damaged': async (journal) => {
    const text = await readFile(journal, 'utf8')
    await writeFile(journal, text.replace('"kind":"pushed"', '"kind":"p\0shed"'))
  },
  'when the journal is something else': (journal) => writeFile(journal, Buffer.alloc(100_000, 1)),
}
for (const [what, lose] of Object.entries(losses))
  test(`${what}, everything that was there counts as pulled now`, async (t) => {
    const directory = await ownDirectory(t)
    const push = createVolume().pushImage('p/app', image, longAgo, 'v1')
    const index = openIn(t, directory)
    index.apply(push)
    index.close(undefined)
    await rm(join(directory, 'index.db'))
    await lose(join(directory, 'journal'), directory)
    const before = Date.now()
    const again = openIn(t, directory)
    again.apply(push)
    const { pulledAt, tags } = again.image()
    for (const at of [pulledAt, tags[0]?.pulledAt])
      assert.ok(at !== undefined && at >= before && at <= Date.now(), `${at}`)
  })

test('a cut-off last line is no loss', async (t) => {
  const { directory, journal, pushedAt, push, index, deleteDatabase } = await start(t)
  index.apply([pulled(pushedAt + minute)])
  await deleteDatabase()
  const { size } = await stat(journal)
  await truncate(journal, size - 10)
  const again = openIn(t, directory)
  again.apply(push)
  assert.equal(again.image().pulledAt, undefined)
})

test('a database that was not closed and is older than a day, as from a backup, does not know the pulls since', async (t) => {
  const { directory, index } = await start(t)
  index.close(undefined)
  const before = Date.now()
  t.mock.timers.enable({ apis: ['Date'], now: before + 25 * 60 * minute })
  const again = openIn(t, directory)
  assert.equal(again.image().pulledAt, Date.now())
})

test('a database that was closed in order does, however long ago', async (t) => {
  const { directory, index } = await start(t)
  index.beginVerification()
  const volume = createVolume()
  volume.pushImage('p/app', image, longAgo)
  index.foundManifests(app, [image.digest])
  index.finishVerification()
  index.close('fingerprint')
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 25 * 60 * minute })
  const again = openIn(t, directory)
  assert.equal(again.image().pulledAt, undefined)
})

test('the journal is compacted, and a deleted one is written again', async (t) => {
  const { journal, pushedAt, index } = await start(t)
  const pulls = (from: number) =>
    Array.from({ length: 10_000 }, (_, at) => pulled(pushedAt + (from + at) * minute))
  let largest = 0
  for (let from = 0; from < 50_000; from += 10_000) {
    index.apply(pulls(from))
    largest = Math.max(largest, (await stat(journal)).size)
  }
  assert.ok(largest < 4 * 1024 * 1024, `${largest} bytes`)
  await rm(journal)
  index.apply([pulled(pushedAt + 60_000 * minute)])
  assert.match(await readFile(journal, 'utf8'), /^{"kind":"journal".*\n(?:.*\n)*.*"pulled"/)
})

test('the journal is complete again after a time in which it could not be written', async (t) => {
  const { directory, journal, pushedAt, push, index, deleteDatabase } = await start(t)
  const at = pushedAt + minute
  await rm(journal)
  // Neither appended to nor replaced.
  await mkdir(join(directory, 'journal', 'x'), { recursive: true })
  await mkdir(join(directory, 'journal.new'))
  index.apply([pulled(at)])
  await rm(join(directory, 'journal.new'), { recursive: true })
  await rm(journal, { recursive: true })
  index.apply([tagPulled(at)])
  await deleteDatabase()
  const again = openIn(t, directory)
  again.apply(push)
  assert.equal(again.image().pulledAt, at)
  assert.deepEqual(again.image().tags, [{ tag: v1, at: pushedAt, pulledAt: at }])
})

test('a line is read as it was written', () => {
  const name = fc.constantFrom<RepositoryName>(app, parseRepositoryName('a-b/c__d/e'))
  const digest = fc.string().map((text): Digest => digestOf(Buffer.from(text)))
  const at = fc.integer({ min: 0 })
  const by = fc.string()
  const event: fc.Arbitrary<Event> = fc.oneof(
    fc.record({ kind: fc.constant('tag-pulled'), name, tag: fc.constant(v1), at }),
    fc.record({ kind: fc.constant('pulled'), name, digest, at }),
    fc.record({ kind: fc.constantFrom('pushed', 'pinned'), name, digest, at, by }),
    fc.record({ kind: fc.constant('unpinned'), name, digest }),
  )
  fc.assert(
    fc.property(event, (written) => {
      const line = formatEvent(written)
      assert.equal(line.indexOf('\n'), line.length - 1)
      assert.deepEqual(parseEvent(line.slice(0, -1)), { ...written })
    }),
  )
  fc.assert(fc.property(fc.string(), (text) => assert.doesNotThrow(() => parseEvent(text))))
})
