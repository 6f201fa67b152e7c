import type { LRUCache } from 'lru-cache'
import type { CacheMemory } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError, withoutCause } from '../oci/errors.ts'
import { createMatcher } from '../oci/globs.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Remote, RemoteManifest } from '../remote/remote.ts'
import type { LinkStore } from '../store/store.ts'

/** How long responses without a digest are cached, in milliseconds. */
const absenceTtl = 5000
const denialTtl = 2000
const failureTtl = 1000
/** How long a stale tag is served before the upstream is asked again, in milliseconds. */
const staleTtl = 5000
/**
 * How long clients wait for an upstream's response if a stale one can be served, in milliseconds;
 * zero for a repository whose last response took longer. A kubelet waits behind them.
 */
const maxWait = 1500
/** How long a repository is remembered to be slow, in milliseconds. */
const slowTtl = 60_000

/** The last valid digest of a tag. Times in milliseconds on the monotonic clock. */
type Known = {
  readonly kind: 'digest'
  readonly digest: Digest
  readonly validatedAt: number
  readonly warning?: string
}
type State =
  | Known
  | { readonly kind: 'absent' }
  | { readonly kind: 'denied'; readonly error: RegistryError }

/**
 * `coalesced`: by a request of another client. `validated`: by a request to the upstream.
 * `fetched`: the response also had the manifest.
 */
export type ResolvedTag = {
  readonly digest: Digest
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

/** Which digest a tag means. */
export interface Tags {
  /** The digest of a tag that is fresh, from memory. */
  fresh(name: RepositoryName, tag: Tag): Digest | undefined
  /** Undefined when the upstream says that there is no such tag. */
  resolve(
    name: RepositoryName,
    tag: Tag,
    how?: {
      /** Asks the upstream although the tag is fresh, or never changes. */
      readonly isForced?: boolean
    },
  ): Promise<ResolvedTag | undefined>
  /** The upstream has just acknowledged a push: the tag is fresh. */
  set(name: RepositoryName, tag: Tag, digest: Digest): Promise<void>
  /** The tag was deleted. */
  remove(name: RepositoryName, tag: Tag): Promise<void>
  /** The manifest was deleted, and with it all tags that pointed to it. */
  removeAllOf(name: RepositoryName, digest: Digest): Promise<void>
}

type TagsOptions = {
  readonly policy: TagPolicy
  readonly remote: Remote
  readonly links: LinkStore
  readonly caches: CacheMemory
  /** Whether the manifest of a digest is in memory or on the disk. */
  readonly has: (name: RepositoryName, digest: Digest) => Promise<boolean>
  /** Stores a manifest. Rejects when it is invalid. */
  readonly add: (name: RepositoryName, manifest: RemoteManifest) => Promise<void>
  readonly onStale: (name: RepositoryName, tag: Tag, error: RegistryError) => void
}

type Context = {
  readonly name: RepositoryName
  readonly tag: Tag
  readonly isForced: boolean
  fetched: boolean
}

/**
 * 1. A tag is fresh within its time to live.
 * 2. Then one request for all clients revalidates it: for the digest if one is known, else for the
 *    manifest. If the digest is the same, the tag is fresh again. If it differs, the manifest is
 *    stored before the tag changes, so that a served tag can be pulled.
 * 3. If the upstream is slow, the request continues; meanwhile clients get the stale digest, as
 *    long as it may be served.
 * 4. If the upstream is unavailable, the stale digest is served with a warning, as long as it may
 *    be.
 * 5. 404 and 403 replace the digest: it is removed, on disk too, so that a later outage of the
 *    upstream does not bring it back.
 */
export function createTags({
  policy,
  remote,
  links,
  caches,
  has,
  add,
  onStale,
}: TagsOptions): Tags {
  const isImmutable = createMatcher({ include: policy.immutable, except: policy.except })
  const slow = caches.create<true>({ ttl: slowTtl })

  const states = caches.create<State, Context>({
    ttl: Math.max(policy.ttl, 1),
    noDeleteOnStaleGet: true,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, stale, { options, context }) => {
      const began = performance.now()
      const state = await next(context, await lastKnown(stale, context))
      if (performance.now() - began < maxWait) slow.delete(context.name)
      options.ttl = ttlOf(state, context.tag)
      return state
    },
  })

  /** The disk counts only without an entry in memory: it records no absences and no denials. */
  const lastKnown = async (
    state: State | undefined,
    { name, tag }: Context,
  ): Promise<Known | undefined> => {
    if (state !== undefined) return state.kind === 'digest' ? state : undefined
    const link = await links.tag(name, tag).catch(() => undefined)
    return (
      link && { kind: 'digest', digest: link.digest, validatedAt: performance.now() - link.age }
    )
  }

  const forget = ({ name, tag }: Context): Promise<void> =>
    links.removeTag(name, tag).catch(() => {})

  const next = async (context: Context, last: Known | undefined): Promise<State> => {
    const { name, tag, isForced } = context
    const began = performance.now()
    const isSettled = isImmutable(tag) && !isForced
    if (last !== undefined && isSettled && (await has(name, last.digest))) return last
    try {
      const answer =
        last === undefined ? await remote.manifest(name, { tag }) : await remote.resolve(name, tag)
      if (answer === undefined) {
        await forget(context)
        return { kind: 'absent' }
      }
      const digest = await storeAnswer(context, answer, last?.digest)
      const pushed = states.peek(keyOf(name, tag))
      if (pushed?.kind === 'digest' && pushed.validatedAt > began) return pushed
      await links.setTag(name, tag, digest).catch(() => {})
      return { kind: 'digest', digest, validatedAt: performance.now() }
    } catch (error) {
      if (!isRegistryError(error)) throw error
      if (error.code === 'DENIED') await forget(context)
      const stale = error.code === 'DENIED' ? undefined : staleOf(last, error)
      if (stale === undefined) return { kind: 'denied', error: withoutCause(error) }
      onStale(name, tag, error)
      return stale
    }
  }

  const storeAnswer = async (
    context: Context,
    answer: Digest | RemoteManifest,
    known: Digest | undefined,
  ): Promise<Digest> => {
    const { name } = context
    if (typeof answer !== 'string') {
      await add(name, answer)
      context.fetched = true
      return answer.digest
    }
    if (answer === known || (await has(name, answer))) return answer
    const manifest = await remote.manifest(name, { digest: answer })
    if (manifest === undefined)
      throw new RegistryError('UNAVAILABLE', {
        message: `${remote.origin} has the tag but not the manifest that it points to`,
        status: 502,
      })
    await add(name, manifest)
    context.fetched = true
    return answer
  }

  /** The stale digest for a failed request, if it may be served. */
  const staleOf = (last: Known | undefined, { message }: RegistryError): Known | undefined => {
    if (last === undefined) return undefined
    const age = performance.now() - last.validatedAt
    if (age > policy.staleIfError) return undefined
    const warning = `this tag was last validated ${Math.round(age / 1000)} s ago: ${message}`
    return { ...last, warning }
  }

  /** The stale digest while the upstream is slow, if it may be served. */
  const staleWhileSlow = async (context: Context, isFirst: boolean): Promise<Known | undefined> => {
    const { name, tag } = context
    slow.set(name, true)
    const last = await lastKnown(states.peek(keyOf(name, tag), { allowStale: true }), context)
    const error = new RegistryError('UNAVAILABLE', {
      message: `${remote.origin} has not responded yet`,
    })
    const stale = staleOf(last, error)
    if (stale !== undefined && isFirst) onStale(name, tag, error)
    return stale
  }

  const ttlOf = (state: State, tag: Tag): number => {
    if (state.kind === 'absent') return absenceTtl
    if (state.kind === 'denied') return state.error.code === 'DENIED' ? denialTtl : failureTtl
    if (state.warning !== undefined) return Math.min(staleTtl, Math.max(policy.ttl, 1))
    return isImmutable(tag) ? Number.MAX_SAFE_INTEGER : Math.max(policy.ttl, 1)
  }

  const keyOf = (name: RepositoryName, tag: Tag) => `${name}:${tag}`

  const remove = async (name: RepositoryName, tag: Tag): Promise<void> => {
    states.delete(keyOf(name, tag))
    await links.removeTag(name, tag)
  }

  return {
    set: async (name, tag, digest) => {
      const state: State = { kind: 'digest', digest, validatedAt: performance.now() }
      // A request that is in flight was sent before the push: its answer must not replace this.
      states.set(keyOf(name, tag), state, { ttl: ttlOf(state, tag) })
      await links.setTag(name, tag, digest).catch(() => {})
    },
    remove,
    removeAllOf: async (name, digest) => {
      for (const [key, state] of states.entries())
        if (key.startsWith(`${name}:`) && state.kind === 'digest' && state.digest === digest)
          states.delete(key)
      for (const tag of (await links.tags(name)) ?? [])
        if ((await links.tag(name, tag))?.digest === digest) await remove(name, tag)
    },
    fresh: (name, tag) => {
      const state = states.get(keyOf(name, tag))
      return state?.kind === 'digest' && state.warning === undefined ? state.digest : undefined
    },
    resolve: async (name, tag, { isForced = false } = {}) => {
      const key = keyOf(name, tag)
      const fresh = isForced ? undefined : states.get(key)
      if (fresh !== undefined) return resolved(fresh, 'fresh')
      const context: Context = { name, tag, isForced, fetched: false }
      const status: LRUCache.Status<string, State, Context> = {}
      const request = states.fetch(key, { context, status, forceRefresh: isForced })
      const isFirst = status.fetch !== 'inflight'
      const answered = await within(slow.has(name) ? 0 : maxWait, request)
      const state = answered ?? (await staleWhileSlow(context, isFirst)) ?? (await request)
      if (!isFirst) return resolved(state, 'coalesced')
      return resolved(state, context.fetched ? 'fetched' : 'validated')
    },
  }
}

function resolved(state: State | undefined, how: ResolvedTag['how']): ResolvedTag | undefined {
  if (state === undefined || state.kind === 'absent') return undefined
  if (state.kind === 'denied') throw state.error
  const { digest, warning } = state
  return warning === undefined ? { digest, how } : { digest, warning, how: 'stale' }
}

/** Undefined after so many milliseconds; the work continues. */
async function within<Result>(
  milliseconds: number,
  work: Promise<Result>,
): Promise<Result | undefined> {
  work.catch(() => {})
  const late = Promise.withResolvers<undefined>()
  const timer = setTimeout(late.resolve, milliseconds, undefined)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
