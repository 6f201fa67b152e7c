import type { LRUCache } from 'lru-cache'
import type { CacheMemory } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError, withoutCause } from '../oci/errors.ts'
import { createMatcher } from '../oci/globs.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Remote, RemoteManifest } from '../remote/remote.ts'
import type { LinkStore } from '../store/store.ts'
import { createAskedReplicas } from './asked-replicas.ts'
import { isSettledWithin } from './settled-within.ts'
import type { SharedTag } from './shared-manifests.ts'
import {
  type Known,
  type ResolvedTag,
  resolved,
  type State,
  type TagPolicy,
  ttlOf,
} from './tag-state.ts'

/**
 * How long clients wait for an upstream's response if a stale one can be served, in milliseconds;
 * zero for a repository whose last response took longer. A kubelet waits behind them.
 */
const maxWait = 1500
/** How long a repository is remembered to be slow, in milliseconds. */
const slowTtl = 60_000

/** Which digest a tag means. */
export interface Tags {
  /** Finds the digest of a tag that is fresh, from memory, with each call. */
  prepare(name: RepositoryName, tag: Tag): () => Digest | undefined
  /** False: another replica is asked for it, and does not answer soon. */
  isAnswered(name: RepositoryName, tag: Tag): Promise<boolean>
  /** Undefined when the upstream says that there is no such tag. */
  resolve(
    name: RepositoryName,
    tag: Tag,
    how?: {
      /** Asks the upstream although the tag is fresh, or never changes. */
      readonly isForced?: boolean
      /** For another replica: none is asked. */
      readonly isForwarded?: boolean
    },
  ): Promise<ResolvedTag | undefined>
  /** The upstream has just acknowledged a push: the tag is fresh. */
  set(name: RepositoryName, tag: Tag, digest: Digest): Promise<void>
  /** Another replica has pushed the tag: the upstream is asked for it. */
  expire(name: RepositoryName, tag: Tag): void
  /** The tag was deleted. */
  remove(name: RepositoryName, tag: Tag): Promise<void>
  /** The manifest was deleted, and with it all tags that pointed to it. */
  removeAllOf(name: RepositoryName, digest: Digest): Promise<void>
}

type TagsOptions = {
  readonly policy: TagPolicy
  readonly remote: Remote
  /** The answer of the replica that asks the upstream for all; undefined: there is none. */
  readonly findShared: (name: RepositoryName, tag: Tag) => Promise<SharedTag | undefined>
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
  readonly isForwarded: boolean
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
 * 6. Another replica may ask the upstream for all. Its digest is fresh for as long as it is there, and
 *    its other answers are not kept here.
 */
export function createTags({
  policy,
  remote,
  findShared,
  links,
  caches,
  has,
  add,
  onStale,
}: TagsOptions): Tags {
  const isImmutable = createMatcher({ include: policy.immutable, except: policy.except })
  const slow = caches.create<true>({ ttl: slowTtl })
  const replicas = createAskedReplicas()

  const states = caches.create<State, Context>({
    ttl: Math.max(policy.ttl, 1),
    noDeleteOnStaleGet: true,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, stale, { options, context }) => {
      const began = performance.now()
      const state = await next(context, await lastKnown(stale, context))
      if (performance.now() - began < maxWait) slow.delete(context.name)
      options.ttl = ttlOf(state, policy.ttl, isImmutable(context.tag))
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

  const askShared = async ({ name, tag, isForced, isForwarded }: Context) => {
    if (isForced || isForwarded) return undefined
    const shared = await replicas.ask(keyOf(name, tag), findShared(name, tag))
    return shared && { ...shared, validatedAt: performance.now() - shared.age }
  }

  const next = async (context: Context, last: Known | undefined): Promise<State> => {
    const { name, tag, isForced } = context
    const peek = () => states.peek(keyOf(name, tag), { allowStale: true })
    const before = peek()
    /** What a push or a deletion has set meanwhile: the answer may be older. */
    const changed = () => (peek() === before ? undefined : peek())
    const isSettled = isImmutable(tag) && !isForced
    if (last !== undefined && isSettled && (await has(name, last.digest))) return last
    const shared = await askShared(context)
    const isShared = shared !== undefined
    try {
      if (shared?.error !== undefined) throw shared.error
      const answer = isShared ? shared.digest : await ask(name, tag, last)
      const digest = answer && (await storeAnswer(context, answer, last?.digest, { shared }))
      const change = changed()
      if (change !== undefined) return change
      if (digest === undefined) {
        await forget(context)
        return { kind: 'absent', isShared }
      }
      await links.setTag(name, tag, digest, shared?.age).catch(() => {})
      const { validatedAt = performance.now(), warning } = shared ?? {}
      return { kind: 'digest', digest, validatedAt, warning, isShared }
    } catch (error) {
      if (!isRegistryError(error)) throw error
      if (error.code === 'DENIED') await forget(context)
      const stale = error.code === 'DENIED' ? undefined : staleOf(last, error)
      if (stale === undefined) return { kind: 'denied', error: withoutCause(error), isShared }
      onStale(name, tag, error)
      return { ...stale, isShared }
    }
  }

  const ask = (name: RepositoryName, tag: Tag, last: Known | undefined) =>
    last === undefined ? remote.manifest(name, { tag }) : remote.resolve(name, tag)

  /** Undefined if the tag was deleted meanwhile. */
  const storeAnswer = async (
    context: Context,
    answer: Digest | RemoteManifest,
    known: Digest | undefined,
    {
      shared,
      isAgain = false,
    }: { readonly shared?: SharedTag | undefined; readonly isAgain?: boolean },
  ): Promise<Digest | undefined> => {
    const { name, tag } = context
    if (typeof answer !== 'string') {
      await add(name, answer)
      context.fetched = true
      return answer.digest
    }
    if (answer === known || (await has(name, answer))) return answer
    const manifest =
      (await shared?.manifest?.(answer)) ?? (await remote.manifest(name, { digest: answer }))
    if (manifest === undefined) {
      // The tag may have moved since, and what it pointed to is gone.
      const now = isAgain ? answer : await remote.resolve(name, tag)
      if (now === answer) throw withoutManifest(remote.origin)
      return now && storeAnswer(context, now, known, { isAgain: true })
    }
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

  const keyOf = (name: RepositoryName, tag: Tag) => `${name}:${tag}`

  const remove = async (name: RepositoryName, tag: Tag): Promise<void> => {
    const state: State = { kind: 'absent' }
    states.set(keyOf(name, tag), state, { ttl: ttlOf(state, policy.ttl, false) })
    await links.removeTag(name, tag)
  }

  return {
    set: async (name, tag, digest) => {
      const state: State = { kind: 'digest', digest, validatedAt: performance.now() }
      states.set(keyOf(name, tag), state, { ttl: ttlOf(state, policy.ttl, isImmutable(tag)) })
      await links.setTag(name, tag, digest).catch(() => {})
    },
    // The answer to a request in flight, which may be older, is not kept either.
    expire: (name, tag) => void states.delete(keyOf(name, tag)),
    isAnswered: (name, tag) => replicas.isAnswered(keyOf(name, tag)),
    remove,
    removeAllOf: async (name, digest) => {
      for (const [key, state] of states.entries())
        if (key.startsWith(`${name}:`) && state.kind === 'digest' && state.digest === digest)
          states.delete(key)
      for (const tag of (await links.tags(name)) ?? [])
        if ((await links.tag(name, tag))?.digest === digest) await remove(name, tag)
    },
    prepare: (name, tag) => {
      const key = keyOf(name, tag)
      return () => {
        const state = states.get(key)
        return state?.kind === 'digest' && state.warning === undefined ? state.digest : undefined
      }
    },
    resolve: async (name, tag, { isForced = false, isForwarded = false } = {}) => {
      const key = keyOf(name, tag)
      const fresh = isForced ? undefined : states.get(key)
      if (fresh !== undefined) return resolved(fresh, 'fresh')
      const context: Context = { name, tag, isForced, isForwarded, fetched: false }
      const status: LRUCache.Status<string, State, Context> = {}
      const request = states.fetch(key, { context, status, forceRefresh: isForced })
      const isFirst = status.fetch !== 'inflight'
      const isAnswered = await isSettledWithin(request, slow.has(name) ? 0 : maxWait)
      const stale = isAnswered ? undefined : await staleWhileSlow(context, isFirst)
      const state = stale ?? (await request)
      if (!isFirst) return resolved(state, 'coalesced')
      return resolved(state, context.fetched ? 'fetched' : 'validated')
    },
  }
}

/** A registry that says so twice is broken. */
export function withoutManifest(origin: string): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `${origin} has the tag but not the manifest that it points to`,
    status: 502,
  })
}
