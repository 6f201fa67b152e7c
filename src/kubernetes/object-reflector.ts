import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { ApiClient } from './api-client.ts'
import { parseJsonLines } from './json-lines.ts'

/** All objects of one kind, as far as they are kept. */
export interface ObjectReflector<Kept> {
  /** In no order. */
  values(): Iterable<Kept>
  /** Increases with each change. */
  version(): number
  /** Why the objects are not known at the moment; undefined: they are. */
  problem(): string | undefined
  /** Resolves after the first complete list, or when closed. */
  readonly synced: Promise<void>
  close(): Promise<void>
}

type Log = { readonly warn: (fields: object, message: string) => void }

type Options<Kept> = {
  readonly client: ApiClient
  /** Path of the kind in all namespaces, or in one, such as `/api/v1/pods`. */
  readonly path: string
  /** Labels of the objects; default: all objects. */
  readonly selector?: string
  /** What is kept of an object. */
  readonly keep: (object: ListedObject) => Kept
  /** Is called with what is kept of an object that is new, changed or gone; for all after each list. */
  readonly onChange?: (kept: Kept) => void
  readonly log: Log
  /**
   * Milliseconds without an event after which a watch counts as broken. The API server sends a
   * bookmark about every minute.
   */
  readonly maxSilence?: number
  /** Milliseconds until the first retry; doubled up to `maxRetryDelay`. */
  readonly retryDelay?: number
}

/** Objects in one page of a list: 50 pods are about 1 MB of JSON. */
const pageSize = 50
const maxPage = 32 * 1024 * 1024
const defaultMaxSilence = 150_000
/** Seconds until the API server ends a watch, so that connections move to other servers. */
const watchTimeout = 300
/** Of the maximum silence: the list comes before the objects count as unknown. */
const listAfter = 0.8
const defaultRetryDelay = 1000
const maxRetryDelay = 30_000
/** Objects of one kind. Kubernetes supports clusters of 150,000 pods. */
const maxObjects = 300_000

const metadata = z.object({
  uid: z.string(),
  name: z.string().default(''),
  namespace: z.string().default(''),
  resourceVersion: z.string().optional(),
})
const listed = z.looseObject({ metadata: z.looseObject(metadata.shape) })
/** An object with all its fields; in a list, without its kind. */
export type ListedObject = z.output<typeof listed>
const page = z.object({
  metadata: z.object({ resourceVersion: z.string(), continue: z.string().optional() }),
  items: z.array(listed),
})
const event = z.object({
  type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']),
  object: z.looseObject({}),
})

/** The server no longer has the history since the version of the watch, or sends nothing: list again. */
class Expired extends Error {}

/**
 * Lists and watches one kind (kubernetes.io, "Efficient detection of changes"):
 *
 * 1. List in pages. Until the list is complete, the previous objects stay.
 * 2. Watch from the list's version, with bookmarks. Each event carries a version to continue from.
 * 3. When a watch ends or fails, watch again from the last version. After 410 Gone, or when it is silent, list
 *    again: the connection may be dead, and API servers send no bookmarks for a kind of which they have seen no
 *    event, unless etcd reports its progress often (kubernetes.io, "Watch bookmarks").
 *
 * Only what `keep` returns is kept. Own code: `@kubernetes/client-node`'s informer keeps whole
 * objects, and does not detect a silent connection.
 */
export function createObjectReflector<Kept>(options: Options<Kept>): ObjectReflector<Kept> {
  const {
    client,
    path,
    selector,
    keep,
    onChange = () => {},
    log,
    maxSilence = defaultMaxSilence,
    retryDelay = defaultRetryDelay,
  } = options
  const labels = selector === undefined ? '' : `&labelSelector=${encodeURIComponent(selector)}`
  const stop = new AbortController()
  const synced = Promise.withResolvers<void>()
  let objects = new Map<string, Kept>()
  let changes = 0
  let failure: string | undefined = 'not listed yet'
  let heardAt = performance.now()

  const heard = (): void => {
    heardAt = performance.now()
    failure = undefined
  }

  const list = async (): Promise<string> => {
    const all = new Map<string, Kept>()
    for (let token: string | undefined; ; ) {
      const query = `limit=${pageSize}${labels}${token === undefined ? '' : `&continue=${encodeURIComponent(token)}`}`
      const { status, text } = await client.get(`${path}?${query}`, { maxBytes: maxPage })
      if (status !== 200) throw refusal(status, 'list', path)
      const { metadata, items } = page.parse(JSON.parse(text))
      for (const item of items) all.set(item.metadata.uid, keep(item))
      if (all.size > maxObjects) throw new Error(`${path} has more than ${maxObjects} objects`)
      token = metadata.continue || undefined
      if (token !== undefined) continue
      const gone = [...objects].flatMap(([uid, kept]) => (all.has(uid) ? [] : [kept]))
      objects = all
      changes += 1
      heard()
      synced.resolve()
      for (const kept of [...gone, ...all.values()]) onChange(kept)
      return metadata.resourceVersion
    }
  }

  /** The version to continue from. */
  const apply = (value: unknown): string | undefined => {
    const { type, object } = event.parse(value)
    if (type === 'ERROR') throw new Expired(JSON.stringify(object).slice(0, 200))
    heard()
    if (type === 'BOOKMARK')
      return z.object({ metadata: versionOnly }).parse(object).metadata.resourceVersion
    const found = listed.parse(object)
    const { uid, resourceVersion } = found.metadata
    const kept = keep(found)
    changes += 1
    if (type === 'DELETED') objects.delete(uid)
    else objects.set(uid, kept)
    onChange(kept)
    return resourceVersion
  }

  /** Watches until the watch ends; each version is stored, so that a failure loses none. */
  const watch = async (from: string, reached: (version: string) => void): Promise<void> => {
    const silence = new AbortController()
    const timer = setTimeout(() => silence.abort(new Expired()), listAfter * maxSilence)
    try {
      const query = `watch=1&allowWatchBookmarks=true&timeoutSeconds=${watchTimeout}${labels}&resourceVersion=${encodeURIComponent(from)}`
      const signal = AbortSignal.any([stop.signal, silence.signal])
      const { status, body } = await client.stream(`${path}?${query}`, signal)
      if (status === 410) throw new Expired('410 Gone')
      if (status !== 200) throw refusal(status, 'watch', path)
      for await (const value of parseJsonLines(body)) {
        const version = apply(value)
        if (version !== undefined) reached(version)
        timer.refresh()
      }
    } catch (error) {
      throw silence.signal.aborted ? silence.signal.reason : error
    } finally {
      clearTimeout(timer)
    }
  }

  const pause = (delay: number) => sleep(delay, undefined, { signal: stop.signal }).catch(() => {})

  const run = async (): Promise<void> => {
    let version: string | undefined
    for (let failures = 0; !stop.signal.aborted; ) {
      const before = changes
      const startedAt = performance.now()
      try {
        version ??= await list()
        await watch(version, (next) => {
          version = next
        })
        failures = 0
        // A server or proxy that ends each watch at once must not cause a busy loop.
        if (performance.now() - startedAt < retryDelay) await pause(retryDelay)
      } catch (error) {
        if (stop.signal.aborted) return
        if (error instanceof Expired) version = undefined
        else {
          failure = error instanceof Error ? error.message : String(error)
          log.warn({ path, err: error }, 'cannot watch the cluster; retrying')
        }
        failures = changes === before ? failures + 1 : 1
        await pause(Math.min(maxRetryDelay, retryDelay * 2 ** (failures - 1)))
      }
    }
  }
  const running = run()

  return {
    values: () => objects.values(),
    version: () => changes,
    problem: () => {
      if (failure !== undefined) return `${path}: ${failure}`
      const silent = performance.now() - heardAt
      // A watch that ended is replaced within the time; a stopped process heard nothing meanwhile.
      return silent > maxSilence ? `${path}: no news for ${Math.round(silent / 1000)} s` : undefined
    },
    synced: synced.promise,
    close: async () => {
      stop.abort()
      synced.resolve()
      await running
    },
  }
}

const versionOnly = z.object({ resourceVersion: z.string() })

function refusal(status: number, verb: string, path: string): Error {
  const kind = path.slice(path.lastIndexOf('/') + 1)
  if (status === 401 || status === 403)
    return new Error(
      `the API server answered ${status}: the service account may not ${verb} ${kind}; allow list and watch on ${kind} in a ClusterRole`,
    )
  return new Error(`the API server answered ${status} to ${verb} ${kind}`)
}
