import { LRUCache } from 'lru-cache'
import type { Digest } from '../../oci/digest.ts'
import { isRegistryError, RegistryError } from '../../oci/errors.ts'
import type { BlobCache } from '../../store/store.ts'
import type { Logger } from '../../telemetry/telemetry.ts'
import type { Fills } from '../fills.ts'
import type { Prefetch } from './images.ts'

/** Images that are prefetched at the same time, and all that are asked for: others are refused. */
const maxActive = 4
const maxRunning = 100
/** Prefetches that have ended are shown for this time, in milliseconds, and at most so many. */
const shownTime = 600_000
const maxShown = 100

type Start = Pick<Prefetch, 'name' | 'digest' | 'reference' | 'platforms'> & {
  readonly fills: Fills
  /** Rejects with why it failed. */
  readonly run: (job: {
    readonly signal: AbortSignal
    readonly onBlobs: (sizes: ReadonlyMap<Digest, number>) => void
  }) => Promise<void>
}

type Running = {
  readonly state: () => Prefetch
  readonly cancel: () => void
  readonly ended: Promise<Prefetch>
}

/** Downloads of images that nobody waits for. They belong to the process, and end with it. */
export interface Prefetches {
  /**
   * Joins one that runs. `ended` never rejects.
   * @throws RegistryError TOOMANYREQUESTS
   */
  start(prefetch: Start): { readonly now: Prefetch; readonly ended: Promise<Prefetch> }
  /** `reference`: the digest, or as it was asked for; of several, the last one. */
  find(name: string, reference: string): Prefetch | undefined
  cancel(name: string, reference: string): boolean
  list(): readonly Prefetch[]
  close(): Promise<void>
}

export function createPrefetches(cache: BlobCache, log: Logger): Prefetches {
  const running = new Map<string, Running>()
  const shown = new LRUCache<string, Prefetch>({ max: maxShown, ttl: shownTime })
  let active = 0
  const waiting = new Set<() => void>()
  const keyOf = (name: string, digest: Digest) => `${name}@${digest}`

  /** Those that wait longest come first. */
  const inTurn = async (signal: AbortSignal, run: () => Promise<void>): Promise<void> => {
    while (active >= maxActive && !signal.aborted)
      await new Promise<void>((resolve) => {
        waiting.add(resolve)
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    signal.throwIfAborted()
    active += 1
    try {
      await run()
    } finally {
      active -= 1
      for (const wake of waiting) wake()
      waiting.clear()
    }
  }

  const start: Prefetches['start'] = ({ fills, run, ...what }) => {
    const key = keyOf(what.name, what.digest)
    const before = running.get(key)
    if (before !== undefined) return { now: before.state(), ended: before.ended }
    if (running.size >= maxRunning)
      throw new RegistryError('TOOMANYREQUESTS', {
        message: `${maxRunning} images are being prefetched or wait for that; try again later`,
        retryAfter: 30,
      })
    const controller = new AbortController()
    const { signal } = controller
    const startedAt = Date.now()
    let sizes: ReadonlyMap<Digest, number> = new Map()
    const state = (): Prefetch => ({
      ...what,
      startedAt,
      state: 'running',
      ...amountsOf(sizes, cache, fills),
    })
    const end = (result: Pick<Prefetch, 'state' | 'problem'>): Prefetch => {
      running.delete(key)
      const last = { ...state(), ...result, endedAt: Date.now() }
      shown.set(key, last)
      const { name, digest, reference } = what
      log.info({ repository: name, digest, reference, ...result }, 'a prefetch has ended')
      return last
    }
    const onBlobs = (found: typeof sizes) => {
      sizes = found
    }
    const ended = inTurn(signal, () => run({ signal, onBlobs })).then(
      () => end({ state: 'done' }),
      (error: unknown) =>
        end(
          signal.aborted ? { state: 'canceled' } : { state: 'failed', problem: messageOf(error) },
        ),
    )
    shown.delete(key)
    running.set(key, { state, cancel: () => controller.abort(), ended })
    log.info({ repository: what.name, digest: what.digest }, 'a prefetch has started')
    return { now: state(), ended }
  }

  const list = () => [
    ...[...running.values()].map(({ state }) => state()).toReversed(),
    ...shown.values(),
  ]

  return {
    start,
    find: (name, reference) =>
      list().find(
        (each) => each.name === name && (each.digest === reference || each.reference === reference),
      ),
    cancel: (name, reference) => {
      const found = [...running.values()].find(({ state }) => {
        const each = state()
        return each.name === name && (each.digest === reference || each.reference === reference)
      })
      found?.cancel()
      return found !== undefined
    },
    list,
    close: async () => {
      const all = [...running.values()]
      for (const { cancel } of all) cancel()
      await Promise.all(all.map(({ ended }) => ended))
    },
  }
}

function amountsOf(
  sizes: ReadonlyMap<Digest, number>,
  cache: BlobCache,
  fills: Fills,
): Pick<Prefetch, 'total' | 'stored'> {
  let blobs = 0
  let bytes = 0
  let all = 0
  for (const [digest, size] of sizes) {
    const isStored = cache.sizeOf(digest) !== undefined
    if (isStored) blobs += 1
    bytes += isStored ? size : Math.min(size, fills.find(digest)?.fill.progress().received ?? 0)
    all += size
  }
  return { total: { blobs: sizes.size, bytes: all }, stored: { blobs, bytes } }
}

/** Anything else is a bug, whose message goes to the log only. */
function messageOf(error: unknown): string {
  return isRegistryError(error) ? error.message : 'internal error'
}
