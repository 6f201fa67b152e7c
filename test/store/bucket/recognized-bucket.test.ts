import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createRecognizedBucket } from '../../../src/store/bucket/recognized-bucket.ts'
import { type ObjectStore, ObjectStoreError } from '../../../src/store/store.ts'
import { useForwardClock } from '../../support/clock.ts'
import { all } from '../../support/hosted-store.ts'
import { watchedTelemetry } from '../../support/telemetry.ts'
import { until } from '../../support/until.ts'

/** Longer than a look counts, in milliseconds. */
const later = 11_000
const mark = 'p/_berth/volume'
const denied = new ObjectStoreError('denied', { message: '403' })
const gone = new ObjectStoreError('gone', { message: '404 NoSuchBucket' })
const replaced = /is not the bucket that it was/

/** A bucket with the objects of a test. */
function openBucket(t: TestContext, { readOnly = false, marked = true } = {}) {
  const stored = new Map<string, Buffer>(marked ? [[mark, Buffer.from('this one')]] : [])
  let failure: (key: string) => ObjectStoreError | undefined = () => undefined
  let held: { readonly of: 'read' | 'put'; readonly until: Promise<void> } | undefined
  let looks = 0
  const hold = async (what: 'read' | 'put', key: string): Promise<void> => {
    if (key === mark && held?.of === what) await held.until
  }
  const step = (key: string): void => {
    const error = failure(key)
    if (error !== undefined) throw error
  }
  const find = (key: string) => {
    step(key)
    const bytes = stored.get(key)
    return bytes && { bytes, head: { size: bytes.length, version: '1', modified: 0 } }
  }
  const objects: ObjectStore = {
    name: 's3://b',
    get: async () => undefined,
    read: async (key) => {
      if (key === mark) looks += 1
      const found = find(key)
      await hold('read', key)
      return found
    },
    head: async (key) => find(key)?.head,
    put: async (key, source) => {
      step(key)
      await hold('put', key)
      if (Buffer.isBuffer(source)) stored.set(key, source)
      return { kind: 'created', version: '1' }
    },
    delete: async () => {},
    list: async function* () {},
    problem: () => undefined,
    close: async () => {},
  }
  const { telemetry } = watchedTelemetry()
  const recognized = createRecognizedBucket({ objects, root: 'p', readOnly, telemetry })
  t.after(() => recognized.close())
  return {
    recognized,
    stored,
    head: (key: string) => recognized.objects.head(key),
    put: (key: string) => recognized.objects.put(key, Buffer.from('x')),
    looks: () => looks,
    fail: (next: typeof failure) => {
      failure = next
    },
    /** Requests for the mark that begin from now on get what is there now, later. */
    holdMark: (of: 'read' | 'put') => {
      const { promise, resolve } = Promise.withResolvers<void>()
      held = { of, until: promise }
      return {
        letNextPass: () => {
          held = undefined
        },
        release: resolve,
      }
    },
  }
}

test('a mark that may not be read counts as none, if the bucket is only read', async (t) => {
  const { head, recognized, fail } = openBucket(t, { readOnly: true })
  fail((key) => (key === mark ? denied : undefined))
  assert.equal(await head('x'), undefined)
  assert.deepEqual(await all(recognized.objects.list('p/')), [])
})

test('a bucket that is made again while it is looked at is not taken for the one that it was', async (t) => {
  const clock = useForwardClock(t)
  const { head, stored, fail, holdMark } = openBucket(t)
  await head('x')
  clock.advance(later)
  const held = holdMark('read')
  const before = head('x')
  await turn()
  held.letNextPass()
  fail(() => gone)
  await assert.rejects(head('x'), gone)
  fail(() => undefined)
  stored.clear()
  const after = assert.rejects(head('x'), replaced)
  await turn()
  held.release()
  await after
  await before.catch(() => {})
})

test('no change is made before the mark is stored', async (t) => {
  const { put, stored, holdMark } = openBucket(t, { marked: false })
  const held = holdMark('put')
  const first = put('a')
  await turn()
  const second = put('b')
  await turn()
  assert.deepEqual([...stored.keys()], [])
  held.release()
  await Promise.all([first, second])
  assert.deepEqual([...stored.keys()].toSorted(), ['a', 'b', mark].toSorted())
})

test('a mark that is stored while it is looked for is not missing', async (t) => {
  const clock = useForwardClock(t)
  const { head, put, holdMark } = openBucket(t, { marked: false })
  const storing = holdMark('put')
  const written = put('a')
  await turn()
  clock.advance(later)
  const looking = holdMark('read')
  const found = head('x')
  await turn()
  looking.letNextPass()
  storing.release()
  await written
  looking.release()
  assert.equal(await found, undefined)
  assert.equal(await head('x'), undefined)
})

test('closing does not wait for a silent bucket', { timeout: 20_000 }, async (t) => {
  const clock = useForwardClock(t)
  const { recognized, head, stored, looks, holdMark } = openBucket(t)
  await head('x')
  stored.clear()
  clock.advance(later)
  await assert.rejects(head('x'), replaced)
  const before = looks()
  const held = holdMark('read')
  t.after(() => held.release())
  await until('it is looked at again', () => assert.ok(looks() > before))
  await recognized.close()
})
