import { setTimeout as sleep } from 'node:timers/promises'
import { type ObjectStore, ObjectStoreError } from '../object-store.ts'

/** Requests in the background at the same time, and while clients wait for the bucket. */
export const maxInBackground = 16
const maxBesideClients = 1
/** Of one request, each with the repetitions of the object store, until it fails. */
const maxAttempts = 5

type Run = <Result>(work: () => Promise<Result>) => Promise<Result>

/**
 * A bucket for clients, and the same bucket for what reads all of it in the background: many requests at once,
 * which wait for those of clients, become fewer when the bucket asks for fewer, and are repeated for longer.
 */
export function splitRequests(objects: ObjectStore): {
  readonly forClients: ObjectStore
  readonly inBackground: ObjectStore
} {
  const waiting: (() => void)[] = []
  let clients = 0
  let running = 0
  let width = maxInBackground

  const startNext = (): void => {
    while (running < (clients > 0 ? maxBesideClients : Math.floor(width))) {
      const next = waiting.shift()
      if (next === undefined) return
      running += 1
      next()
    }
  }

  const first: Run = async (work) => {
    clients += 1
    try {
      return await work()
    } finally {
      clients -= 1
      startNext()
    }
  }

  const inTurn: Run = async (work) => {
    await new Promise<void>((resolve) => {
      waiting.push(resolve)
      startNext()
    })
    try {
      const result = await work()
      width = Math.min(maxInBackground, width + 1 / width)
      return result
    } catch (error) {
      if (isPassing(error)) width = Math.max(1, width / 2)
      throw error
    } finally {
      running -= 1
      startNext()
    }
  }

  const patiently: Run = async (work) => {
    for (let count = 1; ; count += 1)
      try {
        return await inTurn(work)
      } catch (error) {
        if (!isPassing(error) || count === maxAttempts) throw error
        await sleep(1000 * (error.retryAfter ?? 1), undefined, { ref: false })
      }
  }

  return {
    forClients: withRequests(objects, first, first),
    // A listing that has failed cannot go on: it would seem to be at its end.
    inBackground: withRequests(objects, patiently, inTurn),
  }
}

function withRequests(objects: ObjectStore, run: Run, runPage: Run): ObjectStore {
  return {
    ...objects,
    get: (...request) => run(() => objects.get(...request)),
    read: (key) => run(() => objects.read(key)),
    head: (key) => run(() => objects.head(key)),
    put: (...request) => run(() => objects.put(...request)),
    delete: (keys) => run(() => objects.delete(keys)),
    list: async function* (...request) {
      const pages = objects.list(...request)[Symbol.asyncIterator]()
      for (;;) {
        const page = await runPage(() => pages.next())
        if (page.done) return
        yield page.value
      }
    },
  }
}

/** The bucket asks for fewer requests, or cannot be reached at the moment. */
function isPassing(error: unknown): error is ObjectStoreError {
  return error instanceof ObjectStoreError && error.retryAfter !== undefined
}
