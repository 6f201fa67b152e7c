import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { type ObjectStore, ObjectStoreError, type ObjectStoreFailure } from '../object-store.ts'
import { discardBody } from './discard-body.ts'

/** How long a bucket counts as the one that it was, in milliseconds. */
const recognizedFor = 10_000
/** Between two looks at another one. */
const pause = 2000

type RecognizedOptions = {
  readonly objects: ObjectStore
  readonly root: string
  readonly readOnly: boolean
  readonly telemetry: Telemetry
}

/**
 * A bucket that is recognized by an object in it, as a volume is by a file.
 *
 * The danger: while Berth runs, the bucket is deleted and made again, or its name leads to another one. All would seem to be
 * deleted: clients would get 404, the index would forget what only it knows, and pushes would go to the wrong bucket.
 *
 * 1. The first change, or comparison with the index, stores a mark, unless there is one.
 * 2. The mark is read before a change or a listing, and when an object is missing, if it was not read within the last
 *    seconds; after the bucket itself was missing, before anything else counts.
 * 3. While the mark is missing or another one, all requests fail, until it is back. A restart takes the bucket as it is.
 */
export function createRecognizedBucket(options: RecognizedOptions) {
  const { objects, root, readOnly, telemetry } = options
  const key = join(root, '_berth', 'volume')
  const closing = new AbortController()
  let known: string | undefined
  let problem: string | undefined
  let checkedAt = Number.NEGATIVE_INFINITY
  let createdAt = Number.NEGATIVE_INFINITY
  /** How often the bucket was missing, or is to be looked at for another reason; and how often of that a look came after it. */
  let suspicions = 0
  let settled = 0
  let checking: Promise<void> | undefined
  let creating: Promise<void> | undefined
  let watching: Promise<void> | undefined

  /** Who may only read images has none. */
  const readMark = async (): Promise<string | undefined> => {
    try {
      return (await objects.read(key))?.bytes.toString() || undefined
    } catch (error) {
      if (readOnly && known === undefined && isFailure(error, 'denied')) return undefined
      throw error
    }
  }

  const look = async (): Promise<void> => {
    const [knownBefore, suspicionsBefore] = [known, suspicions]
    const mark = await readMark()
    // The mark was stored meanwhile.
    if (known !== knownBefore) return
    known ??= mark
    checkedAt = performance.now()
    settled = suspicionsBefore
    if (mark === known) set(undefined)
    else set(mark === undefined ? `${key} is missing` : `${key} has changed`)
  }

  const check = (): Promise<void> => {
    checking ??= look().finally(() => {
      checking = undefined
    })
    return checking
  }

  /** If that is denied, so is what it is for. */
  const create = async (): Promise<void> => {
    createdAt = performance.now()
    await objects.put(key, Buffer.from(randomUUID()), 'absent').catch(() => {})
    await look()
  }

  const set = (what: string | undefined): void => {
    const next = what && `${objects.name} is not the bucket that it was: ${what}; ${advice}`
    if (next === problem) return
    problem = next
    const { log } = telemetry
    if (next === undefined) log.info({ bucket: objects.name }, 'the bucket is the one that it was')
    else log.error({ bucket: objects.name, reason: next }, 'the bucket was replaced')
    if (next !== undefined)
      watching ??= watch().finally(() => {
        watching = undefined
      })
  }

  const watch = async (): Promise<void> => {
    while (problem !== undefined && !closing.signal.aborted) {
      await sleep(pause, undefined, { ref: false, signal: closing.signal }).catch(() => {})
      if (!closing.signal.aborted) await check().catch(() => {})
    }
  }

  const isSuspect = (): boolean => settled < suspicions

  /** @throws ObjectStoreError gone */
  const recognize = async (): Promise<void> => {
    const suspicionsBefore = suspicions
    if (isSuspect() || performance.now() >= checkedAt + recognizedFor) await check()
    // It joined a look that had begun before.
    if (settled < suspicionsBefore) await check()
    if (problem !== undefined) throw new ObjectStoreError('gone', { message: problem })
  }

  const recognizeFirst = async (): Promise<void> => {
    await noticing(recognize)
    await creating
    if (known !== undefined || readOnly || performance.now() < createdAt + recognizedFor) return
    creating ??= create().finally(() => {
      creating = undefined
    })
    await creating
  }

  const noticing = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    try {
      return await work()
    } catch (error) {
      if (isFailure(error, 'gone')) suspicions += 1
      throw error
    }
  }

  const looking = async <Found>(work: () => Promise<Found>): Promise<Found> => {
    const found = await noticing(work)
    if (found === undefined || isSuspect() || problem !== undefined) await noticing(recognize)
    return found
  }

  const changing = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    await recognizeFirst()
    return noticing(work)
  }

  const recognized: ObjectStore = {
    ...objects,
    get: async (...request) => {
      const found = await noticing(() => objects.get(...request))
      // It may break before it is read.
      found?.body.on('error', () => {})
      try {
        return await looking(async () => found)
      } catch (error) {
        if (found !== undefined) discardBody(found.body)
        throw error
      }
    },
    read: (key) => looking(() => objects.read(key)),
    head: (key) => looking(() => objects.head(key)),
    put: (...request) => changing(() => objects.put(...request)),
    delete: (keys) => changing(() => objects.delete(keys)),
    list: async function* (...request) {
      await recognizeFirst()
      const pages = objects.list(...request)[Symbol.asyncIterator]()
      for (;;) {
        const page = await noticing(() => pages.next())
        if (page.done) break
        yield page.value
      }
      await noticing(recognize)
    },
    problem: (access) => objects.problem(access) ?? problem,
  }

  /** That it is still the one that it was. @throws ObjectStoreError gone */
  const confirm = async (): Promise<void> => {
    suspicions += 1
    await noticing(recognize)
  }

  return {
    objects: recognized,
    confirm,
    /** For what takes to be deleted whatever is not listed: the listing fails if the bucket was replaced meanwhile. */
    whole: async function* <Item>(
      items: AsyncIterable<Item>,
    ): AsyncGenerator<Item, void, undefined> {
      yield* items
      await confirm()
    },
    /** Call it when no request is sent any more. The danger: a silent bucket answers a look only after many seconds. */
    close: async (): Promise<void> => {
      closing.abort()
      if (checking === undefined) await watching
    },
  }
}

function isFailure(error: unknown, failure: ObjectStoreFailure): boolean {
  return error instanceof ObjectStoreError && error.failure === failure
}

const advice =
  'restore its objects, or restart all replicas of Berth if it is to be used as it is now'
