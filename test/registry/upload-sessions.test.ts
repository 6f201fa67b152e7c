import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { createUploads } from '../../src/registry/uploads/uploads.ts'
import { createHostedStore } from '../../src/store/store.ts'
import { ownDirectory } from '../support/directory.ts'
import { bodyOf } from '../support/hosted-registry.ts'
import { uploadsOnDisk } from '../support/hosted-volume.ts'
import { randomBlob } from '../support/images.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

const name = parseRepositoryName('local/app')
const minute = 60_000

async function scene(t: TestContext) {
  const root = await ownDirectory(t)
  const store = await createHostedStore({ root, telemetry: watchedTelemetry().telemetry })
  t.after(() => store.close())
  let time = Date.now()
  const uploads = createUploads({
    store: store.uploads,
    quotas: {
      reserve: async () => ({ growTo: async () => {}, shrinkTo: () => {}, end: () => {} }),
    },
    now: () => time,
    maxSessions: 5,
    maxSessionsPerWriter: 3,
  })
  const start = async (writer: string) => {
    const { id } = await uploads.start(name, { writer, algorithm: 'sha256' })
    return { id, writer }
  }
  const pass = (milliseconds: number) => {
    time += milliseconds
  }
  return { root, uploads, start, pass }
}

const tooMany = (message: RegExp) => ({ code: 'TOOMANYREQUESTS', status: 429, message })
const unknown = { code: 'BLOB_UPLOAD_UNKNOWN' }

test('a user has a limited number of upload sessions, and all users together', async (t) => {
  const { uploads, start } = await scene(t)
  const [first] = await Promise.all(['alice', 'alice', 'alice'].map(start))
  assert.ok(first)
  await assert.rejects(start('alice'), tooMany(/you have 3 upload sessions/))
  await Promise.all(['bob', 'bob'].map(start))
  await assert.rejects(start('carol'), tooMany(/there are 5 upload sessions/))
  await uploads.cancel(name, first)
  await start('carol')
  await assert.rejects(start('carol'), { code: 'TOOMANYREQUESTS' })
})

test('many starts at once do not exceed the limit', async (t) => {
  const { root, start } = await scene(t)
  const started = await Promise.allSettled(Array.from({ length: 10 }, () => start('alice')))
  assert.equal(started.filter(({ status }) => status === 'fulfilled').length, 3)
  assert.equal((await uploadsOnDisk(root)).length, 3)
})

test('an upload that was abandoned makes room for another of its user, one in use does not', async (t) => {
  const { uploads, start, pass } = await scene(t)
  const oldest = await start('alice')
  pass(minute)
  const abandoned = await start('alice')
  pass(minute)
  const active = await start('alice')
  pass(12 * minute)
  await assert.rejects(start('alice'), { code: 'TOOMANYREQUESTS' })
  await uploads.append(name, oldest, bodyOf(Buffer.from('still here')), undefined)
  pass(2.5 * minute)
  await start('alice')
  await assert.rejects(uploads.status(name, abandoned), unknown)
  for (const ref of [oldest, active]) await uploads.status(name, ref)
})

test('an upload that no request continues ends after its time, and its file is gone (H120)', async (t) => {
  const { root, uploads, start, pass } = await scene(t)
  const { bytes } = randomBlob(100)
  const abandoned = await start('alice')
  await uploads.append(name, abandoned, bodyOf(bytes), undefined)
  assert.equal(await uploads.purge(Date.now() - minute), 0)
  pass(10 * minute)
  const held = Promise.withResolvers<void>()
  async function* slow() {
    yield [bytes]
    await held.promise
  }
  const active = await start('alice')
  const appending = uploads.append(name, active, slow(), undefined)
  assert.equal(await uploads.purge(Date.now() + 20 * minute), 1)
  await assert.rejects(uploads.status(name, abandoned), unknown)
  held.resolve()
  assert.equal((await appending).size, 100)
  assert.equal((await uploadsOnDisk(root)).length, 1)
})
