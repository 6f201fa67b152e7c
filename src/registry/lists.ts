import type { CacheMemory } from '../memory/memory.ts'
import { isRegistryError, type RegistryError, withoutCause } from '../oci/errors.ts'
import type { Provenance } from './repository.ts'
import type { Aged } from './shared-manifests.ts'

/** How long an absence and a denial are cached, in milliseconds. */
const absenceTtl = 5000
const denialTtl = 2000
/** Memory for a cached error, in bytes. */
const errorSize = 1024

/** A list, and the bytes that it uses in memory. */
type Sized = { readonly size: number }

type State<List> =
  | {
      readonly kind: 'list'
      readonly list: List
      readonly validatedAt: number
      readonly warning?: string
    }
  | { readonly kind: 'absent' }
  | { readonly kind: 'denied'; readonly error: RegistryError }

/** Undefined when the upstream has no such list. */
type RequestList<List> = () => Promise<Aged<List> | undefined>

/**
 * Lists of an upstream, limited by bytes. Concurrent requests for one list share one request to the
 * upstream. While the upstream is unavailable, the last response is used: a list, an absence, or a
 * denial.
 */
export interface Lists<List> {
  find(
    key: string,
    request: RequestList<List>,
  ): Promise<(Aged<List> & { readonly provenance: Provenance }) | undefined>
  /** Lists whose keys begin so have changed. */
  forget(start: string): void
}

type ListsOptions = {
  readonly caches: CacheMemory
  /** Milliseconds. */
  readonly ttl: number
  readonly staleIfError: number
}

export function createLists<List extends Sized>({
  caches,
  ttl,
  staleIfError,
}: ListsOptions): Lists<List> {
  const states = caches.create<State<List>, RequestList<List>>({
    size: (state) => (state.kind === 'list' ? state.list.size : errorSize),
    ttl: Math.max(ttl, 1),
    noDeleteOnStaleGet: true,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, last, { options, context }) => {
      const state = await next(last, context)
      options.ttl = ttlOf(state)
      return state
    },
  })

  const next = async (
    last: State<List> | undefined,
    request: RequestList<List>,
  ): Promise<State<List>> => {
    try {
      const found = await request()
      return found === undefined
        ? { kind: 'absent' }
        : { kind: 'list', list: found.list, validatedAt: performance.now() - found.age }
    } catch (error) {
      if (isRegistryError(error, 'DENIED')) return { kind: 'denied', error: withoutCause(error) }
      const mayServe = last?.kind === 'list' && performance.now() - last.validatedAt < staleIfError
      if (!mayServe || !isRegistryError(error, 'UNAVAILABLE')) throw error
      return { ...last, warning: `this list may be outdated: ${error.message}` }
    }
  }

  const ttlOf = (state: State<List>): number => {
    if (state.kind === 'absent') return Math.min(absenceTtl, Math.max(ttl, 1))
    if (state.kind === 'denied') return denialTtl
    const age = state.warning === undefined ? performance.now() - state.validatedAt : 0
    return Math.max(ttl - age, 1)
  }

  return {
    forget: (start) => {
      for (const key of states.keys()) if (key.startsWith(start)) states.delete(key)
    },
    find: async (key, request) => {
      const fresh = states.get(key)
      const state = fresh ?? (await states.fetch(key, { context: request }))
      if (state === undefined || state.kind === 'absent') return undefined
      if (state.kind === 'denied') throw state.error
      const { list, warning, validatedAt } = state
      const cache = fresh === undefined ? 'miss' : 'hit'
      const provenance: Provenance = warning === undefined ? { cache } : { warning, cache: 'stale' }
      return { list, age: performance.now() - validatedAt, provenance }
    },
  }
}
