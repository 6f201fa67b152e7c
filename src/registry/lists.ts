import type { CacheMemory } from '../memory/memory.ts'
import { isRegistryError, type RegistryError, withoutCause } from '../oci/errors.ts'
import type { Provenance } from './repository.ts'

/** How long an absence and a refusal are believed, in milliseconds. */
const absenceLife = 5000
const refusalLife = 2000
/** What is remembered of a refusal, in bytes. */
const errorSize = 1024

/** A list as an upstream gave it, with its bytes in memory. */
type Sized = { readonly size: number }

type State<List> =
  | {
      readonly kind: 'list'
      readonly list: List
      readonly rightAt: number
      readonly warning?: string
    }
  | { readonly kind: 'absent' }
  | { readonly kind: 'refused'; readonly error: RegistryError }

/** Undefined when the upstream has no such list. */
type Ask<List> = () => Promise<List | undefined>

/**
 * Lists that an upstream gave, one request for all who want the same, bounded by bytes. While the
 * upstream cannot be asked they are what it said last: a list, that there is none, or a refusal.
 */
export interface Lists<List> {
  find(
    key: string,
    ask: Ask<List>,
  ): Promise<{ readonly list: List; readonly provenance: Provenance } | undefined>
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
  const states = caches.create<State<List>, Ask<List>>({
    size: (state) => (state.kind === 'list' ? state.list.size : errorSize),
    ttl: Math.max(ttl, 1),
    noDeleteOnStaleGet: true,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, last, { options, context }) => {
      const state = await next(last, context)
      options.ttl = lifeOf(state)
      return state
    },
  })

  const next = async (last: State<List> | undefined, ask: Ask<List>): Promise<State<List>> => {
    try {
      const list = await ask()
      return list === undefined
        ? { kind: 'absent' }
        : { kind: 'list', list, rightAt: performance.now() }
    } catch (error) {
      if (isRegistryError(error, 'DENIED')) return { kind: 'refused', error: withoutCause(error) }
      const mayServe = last?.kind === 'list' && performance.now() - last.rightAt < staleIfError
      if (!mayServe || !isRegistryError(error, 'UNAVAILABLE')) throw error
      return { ...last, warning: `this list may have changed: ${error.message}` }
    }
  }

  const lifeOf = ({ kind }: State<List>): number => {
    if (kind === 'absent') return Math.min(absenceLife, Math.max(ttl, 1))
    return kind === 'refused' ? refusalLife : Math.max(ttl, 1)
  }

  return {
    find: async (key, ask) => {
      const fresh = states.get(key)
      const state = fresh ?? (await states.fetch(key, { context: ask }))
      if (state === undefined || state.kind === 'absent') return undefined
      if (state.kind === 'refused') throw state.error
      const { list, warning } = state
      const cache = fresh === undefined ? 'miss' : 'hit'
      return { list, provenance: warning === undefined ? { cache } : { warning, cache: 'stale' } }
    },
  }
}
