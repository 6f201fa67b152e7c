import { formatSize } from '../../oci/amounts.ts'
import type { Logger } from '../../telemetry/telemetry.ts'
import type { Refusal } from './budget.ts'

/** A refusal is forgotten after this, in milliseconds; and it is logged once in this time. */
const maxAge = 60_000

/** Why the cache stores nothing more, although its disk works: nobody else says so, since pulls go on. */
export interface Room {
  refused(refusal: Refusal): void
  admitted(): void
  problem(): string | undefined
}

type RoomOptions = {
  readonly directory: string
  /** Bytes. */
  readonly limit: number
  readonly minimumFree: number
  /** Bytes of pinned images. */
  readonly pinned: () => number
  readonly log: Logger
}

export function createRoom(options: RoomOptions): Room {
  const { log } = options
  let last: { readonly why: string; readonly at: number } | undefined
  let loggedAt = Number.NEGATIVE_INFINITY

  return {
    refused: (refusal) => {
      const why = reasonFor(refusal, options)
      if (why === undefined) return
      const now = performance.now()
      last = { why, at: now }
      if (now < loggedAt + maxAge) return
      loggedAt = now
      log.warn({ reason: why }, 'no room in the cache; blobs are sent to clients but not stored')
    },
    admitted: () => {
      last = undefined
    },
    problem: () =>
      last !== undefined && performance.now() < last.at + maxAge
        ? `no room, so blobs are sent to clients but not stored: ${last.why}`
        : undefined,
  }
}

/** Undefined for a blob larger than the whole cache, and while clients read all that could be evicted. */
function reasonFor(
  { bytes, shortage, evictable }: Refusal,
  { directory, limit, minimumFree, pinned }: Omit<RoomOptions, 'log'>,
): string | undefined {
  if (bytes > limit) return undefined
  const missing = shortage - evictable
  if (missing > 0)
    return `the file system of ${directory} lacks ${formatSize(missing)} for a blob, and storage.cache.minimumFree keeps ${formatSize(minimumFree)}: free space there, or lower storage.cache.minimumFree`
  if (pinned() + bytes <= limit) return undefined
  return `pinned images take ${formatSize(pinned())} of storage.cache.maxSize (${formatSize(limit)}): unpin some, or raise it`
}
