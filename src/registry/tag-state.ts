import type { Digest } from '../oci/digest.ts'
import type { RegistryError } from '../oci/errors.ts'

/** How long responses without a digest are cached, in milliseconds. */
const absenceTtl = 5000
const denialTtl = 2000
const failureTtl = 1000
/** How long a stale tag is served before the upstream is asked again, in milliseconds. */
const staleTtl = 5000

/** The last valid digest of a tag. Times in milliseconds on the monotonic clock. */
export type Known = {
  readonly kind: 'digest'
  readonly digest: Digest
  readonly validatedAt: number
  readonly warning?: string | undefined
}

/** `isShared`: another replica knows it, and for how long. */
export type State = (
  | Known
  | { readonly kind: 'absent' }
  | { readonly kind: 'denied'; readonly error: RegistryError }
) & { readonly isShared?: boolean }

/**
 * `coalesced`: by a request of another client. `validated`: by a request to the upstream.
 * `fetched`: the response also had the manifest.
 */
export type ResolvedTag = {
  readonly digest: Digest
  /** Milliseconds since the upstream has said so. */
  readonly age: number
  readonly how: 'fresh' | 'coalesced' | 'validated' | 'fetched' | 'stale'
  readonly warning?: string
}

export type TagPolicy = {
  /** Milliseconds for which a tag is fresh. */
  readonly ttl: number
  /**
   * Milliseconds since its last validation for which a tag is served while the upstream is
   * unavailable.
   */
  readonly staleIfError: number
  /** Globs of tags that never change. */
  readonly immutable: readonly string[]
  /** Globs of tags that change, although `immutable` matches them. */
  readonly except?: readonly string[]
}

/** For how long a state is kept, in milliseconds, where a tag is fresh for `fresh`. */
export function ttlOf(state: State, fresh: number, isImmutable: boolean): number {
  if (state.isShared && (state.kind !== 'digest' || state.warning !== undefined)) return 1
  if (state.kind === 'absent') return absenceTtl
  if (state.kind === 'denied') return state.error.code === 'DENIED' ? denialTtl : failureTtl
  if (state.warning !== undefined) return Math.min(staleTtl, Math.max(fresh, 1))
  if (isImmutable) return Number.MAX_SAFE_INTEGER
  return Math.max(state.validatedAt + fresh - performance.now(), 1)
}

export function resolved(
  state: State | undefined,
  how: ResolvedTag['how'],
): ResolvedTag | undefined {
  if (state === undefined || state.kind === 'absent') return undefined
  if (state.kind === 'denied') throw state.error
  const { digest, validatedAt, warning } = state
  const age = performance.now() - validatedAt
  return warning === undefined ? { digest, age, how } : { digest, age, warning, how: 'stale' }
}
