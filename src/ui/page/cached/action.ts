import type { Eviction, Prefetch } from '../../../api/answers.ts'
import { ApiError, api } from '../api.ts'
import { formatBytes, shortDigest } from '../parts/format.ts'
import { asApiError } from '../use-answer.ts'

/** What one can do with images in the cache. */
export type CacheAction = 'refresh' | 'prefetch' | 'pin' | 'unpin' | 'evict'

/** One tag or digest, and what became of it. */
export type CacheItem = {
  readonly reference: string
  readonly text?: string
  readonly isFailed?: boolean
  /** That runs, or has ended. */
  readonly prefetch?: Prefetch
  /** A preview, or what was evicted. */
  readonly eviction?: Eviction
}

type Acting = {
  readonly name: string
  readonly reference: string
  /** Of indexes; empty: all. */
  readonly platforms: readonly string[]
  /** What is known before the end. */
  readonly onProgress: (item: CacheItem) => void
  readonly isWatched: () => boolean
}

/** Milliseconds between two questions how far a prefetch is. */
const interval = 1000

/** Never rejects: what failed is in the item. */
export async function act(action: CacheAction, acting: Acting): Promise<CacheItem> {
  const { reference } = acting
  try {
    return { reference, ...(await actions[action](acting)) }
  } catch (error) {
    return { reference, text: asApiError(error).message, isFailed: true }
  }
}

export async function preview({ name, reference }: Acting): Promise<CacheItem> {
  try {
    return { reference, eviction: await api.evict(name, reference, { dryRun: true }) }
  } catch (error) {
    return { reference, text: asApiError(error).message, isFailed: true }
  }
}

const actions: Readonly<
  Record<CacheAction, (acting: Acting) => Promise<Omit<CacheItem, 'reference'>>>
> = {
  refresh: async ({ name, reference }) => {
    const { changed, before, digest } = await api.refresh(name, reference)
    if (!changed) return { text: `Has not changed: ${shortDigest(digest)}` }
    const from = before === undefined ? '' : ` from ${shortDigest(before)}`
    return { text: `Changed${from} to ${shortDigest(digest)}` }
  },
  prefetch: watchPrefetch,
  pin: async ({ name, reference }) => {
    const { size, stored } = await api.pin(name, reference)
    const missing = size - stored
    const rest =
      missing > 0 ? `; ${formatBytes(missing)} of it are not in the cache: prefetch it` : ''
    return { text: `Pinned with ${formatBytes(size)}${rest}` }
  },
  unpin: async ({ name, reference }) => {
    const { changed } = await api.unpin(name, reference)
    return { text: changed ? 'No longer pinned' : 'Was not pinned' }
  },
  evict: async ({ name, reference }) => ({ eviction: await api.evict(name, reference) }),
}

/** Until it has ended, or nobody looks at it any more: it continues then. */
async function watchPrefetch({ name, reference, platforms, onProgress, isWatched }: Acting) {
  let prefetch = await api.prefetch(name, reference, platforms)
  while (prefetch.state === 'running' && isWatched()) {
    onProgress({ reference, prefetch })
    await new Promise((resolve) => setTimeout(resolve, interval))
    prefetch = await api.prefetchState(name, prefetch.digest)
  }
  if (prefetch.state === 'failed') throw new ApiError(prefetch.problem ?? 'It failed.', 0)
  return { prefetch }
}
