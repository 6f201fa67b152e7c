import type { LRUCache } from 'lru-cache'
import type { CacheMemory, Reservations } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError, withoutCause } from '../oci/errors.ts'
import { maxManifestSize } from '../oci/manifest.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'
import type { Remote, RemoteManifest } from '../remote/remote.ts'
import type { BlobCache, CachedLinkStore } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createAskedReplicas } from './asked-replicas.ts'
import { misdirected } from './blob-origins.ts'
import type { Counters } from './counters.ts'
import { asUpstreamError } from './invalid-manifest.ts'
import { createManifests, type KnownManifest, type ManifestMemory } from './manifests.ts'
import type { CacheResult } from './repository.ts'
import type { SharedManifests, SharedTag } from './shared-manifests.ts'
import { createStoredManifests } from './stored-manifests.ts'
import type { ResolvedTag, TagPolicy } from './tag-state.ts'
import { createTags, withoutManifest } from './tags.ts'

/** How long an absence and a failure are cached, in milliseconds. */
const absenceTtl = 5000
const failureTtl = 1000
/** Within this time a manifest that is pulled again is not marked as used again, in milliseconds. */
const useInterval = 1000

export type FoundManifest = {
  readonly known: KnownManifest
  readonly cache: CacheResult
  readonly warning?: string
}

/** Manifests of one upstream's repositories, from memory, disk or the upstream. */
export interface ProxiedManifests {
  /** Finds it with each call. Undefined when the answer is not in memory, or has more than `maxSize` bytes. */
  prepare(
    name: RepositoryName,
    reference: Reference,
  ): (maxSize?: number) => FoundManifest | undefined
  find(
    name: RepositoryName,
    reference: Reference,
    how?: { readonly isForced?: boolean; readonly isForwarded?: boolean },
  ): Promise<FoundManifest | undefined>
  /** For another replica, with the same upstream. Undefined: it has to ask the upstream itself. */
  resolve(name: RepositoryName, tag: Tag, origin: string): Promise<SharedTag | undefined>
  /** Stores what was pushed to the upstream just now, with the tags that point to it. */
  addPushed(name: RepositoryName, pushed: PushedManifest): Promise<void>
  /** Another replica has pushed them: the upstream is asked for them. */
  expire(name: RepositoryName, tags: readonly Tag[], digest: Digest | undefined): void
  /** The manifest, and its tags, were deleted from the upstream. */
  remove(name: RepositoryName, digest: Digest): Promise<void>
  removeTag(name: RepositoryName, tag: Tag): Promise<void>
}

type PushedManifest = {
  readonly digest: Digest
  readonly bytes: Buffer
  readonly tags: readonly Tag[]
}

type ProxiedManifestsOptions = {
  readonly upstream: string
  readonly prefix: string
  readonly scope: string
  readonly remote: Remote
  readonly shared: SharedManifests
  readonly links: CachedLinkStore
  readonly cache: BlobCache
  readonly memory: ManifestMemory
  readonly caches: CacheMemory
  readonly inFlight: Reservations
  readonly policy: TagPolicy
  readonly counters: Counters
  readonly telemetry: Telemetry
  /** A manifest was fetched, or read from the disk. */
  readonly onManifest: (name: RepositoryName, known: KnownManifest) => void
}

type Context = {
  readonly name: RepositoryName
  readonly digest: Digest
  readonly isForwarded: boolean
}

export function createProxiedManifests(options: ProxiedManifestsOptions): ProxiedManifests {
  const {
    upstream,
    prefix,
    scope,
    remote,
    shared,
    links,
    cache,
    memory,
    caches,
    inFlight,
    policy,
    counters,
    telemetry,
    onManifest,
  } = options
  const replicas = createAskedReplicas()
  const manifests = createManifests({ memory, caches, inFlight, scope, blobs: cache, links })

  const stored = createStoredManifests({
    upstream,
    manifests,
    links,
    cache,
    caches,
    log: telemetry.log,
    onManifest,
  })

  /** Parses and stores a manifest from the upstream. */
  const add = async (
    name: RepositoryName,
    { digest, bytes, contentType, source, release }: RemoteManifest,
  ): Promise<KnownManifest> => {
    try {
      counters.fetched('manifest', bytes.length, source)
      const remembering = manifests.remember(name, digest, bytes, contentType)
      const known = await asUpstreamError(remote.origin, remembering)
      onManifest(name, known)
      await stored.store(name, known)
      return known
    } finally {
      release()
    }
  }

  const tags = createTags({
    policy,
    remote,
    findShared: (name, tag) => shared.tag({ prefix, name, tag, origin: remote.origin }),
    links,
    caches,
    has: async (name, digest) => (await stored.find(name, digest)) !== undefined,
    add: async (name, manifest) => void (await add(name, manifest)),
    onStale: (repository, tag, err) =>
      telemetry.log.warn(
        { upstream, repository, tag, err },
        'serving a stale tag: its upstream is unavailable',
      ),
  })

  const askShared = (name: RepositoryName, digest: Digest) =>
    replicas.ask(`${name}@${digest}`, shared.manifest({ prefix, name, digest }))

  const fetch = async ({ name, digest, isForwarded }: Context) => {
    const found = isForwarded ? undefined : await askShared(name, digest)
    if (found === undefined) return remote.manifest(name, { digest })
    const right = await remote.resolve(name, digest).catch((error: unknown) => {
      found.release()
      throw error
    })
    if (typeof right === 'string') return found
    found.release()
    return right
  }

  /** Concurrent requests share one request to the upstream; failures are cached for a short time. */
  const requests = caches.create<KnownManifest | RegistryError | 'absent', Context>({
    ttl: failureTtl,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, _stale, { options: entry, context }) => {
      try {
        const answer = await fetch(context)
        if (answer !== undefined) return await add(context.name, answer)
        entry.ttl = absenceTtl
        return 'absent'
      } catch (error) {
        if (isRegistryError(error)) return withoutCause(error)
        throw error
      }
    },
  })

  const request = async (
    name: RepositoryName,
    digest: Digest,
    isForwarded: boolean,
  ): Promise<FoundManifest | undefined> => {
    const key = `${name}@${digest}`
    if (isForwarded && !(await replicas.isAnswered(key))) throw misdirected(digest)
    const status: LRUCache.Status<string, KnownManifest | RegistryError | 'absent', Context> = {}
    const answer = await requests.fetch(key, { context: { name, digest, isForwarded }, status })
    if (answer === undefined || answer === 'absent') return undefined
    if (answer instanceof RegistryError) throw answer
    // The manifest is in the other cache.
    requests.delete(key)
    return { known: answer, cache: status.fetch === 'inflight' ? 'coalesced' : 'miss' }
  }

  const byDigest = async (
    name: RepositoryName,
    digest: Digest,
    isForwarded = false,
  ): Promise<FoundManifest | undefined> => {
    const known = await stored.find(name, digest)
    if (known === undefined) return request(name, digest, isForwarded)
    await stored.useAndRestore(name, known)
    return { known, cache: 'hit' }
  }

  const byTag = async (
    name: RepositoryName,
    resolved: ResolvedTag,
  ): Promise<FoundManifest | undefined> => {
    const { how, warning } = resolved
    counters.answered('tag', tagResults[how])
    const found = await byDigest(name, resolved.digest)
    if (found === undefined) return undefined
    const cache = how === 'fetched' || how === 'stale' ? tagResults[how] : found.cache
    return { known: found.known, cache, ...(warning !== undefined && { warning }) }
  }

  /** Tags for which the upstream has been asked again just now, in vain. */
  const withoutManifests = caches.create<true>({ ttl: absenceTtl })

  return {
    prepare: (name, reference) => {
      const isTag = 'tag' in reference
      const findDigest = isTag ? tags.prepare(name, reference.tag) : () => reference.digest
      const find = manifests.prepare(name)
      let used: Digest | undefined
      let usedAt = 0
      return (maxSize = maxManifestSize) => {
        const digest = findDigest()
        const known = digest && find(digest)
        if (known === undefined || known.bytes.length > maxSize) return undefined
        const now = performance.now()
        if (digest !== used || now > usedAt + useInterval) {
          if (!stored.use(name, known)) return undefined
          used = digest
          usedAt = now
        }
        if (isTag) counters.answered('tag', 'hit')
        return { known, cache: 'hit' }
      }
    },
    find: async (name, reference, how) => {
      if ('digest' in reference)
        return counters.countFailure('manifest', byDigest(name, reference.digest, how?.isForwarded))
      // What a tag points to may be evicted here, and gone there since the tag moved: then the upstream is asked again.
      const key = `${name}:${reference.tag}`
      const again = withoutManifests.has(key) ? [] : [true]
      for (const isForced of [how?.isForced ?? false, ...again]) {
        const resolving = tags.resolve(name, reference.tag, { ...how, isForced })
        const resolved = await counters.countFailure('tag', resolving)
        if (resolved === undefined) return undefined
        const found = await counters.countFailure('manifest', byTag(name, resolved))
        if (found !== undefined) return found
      }
      withoutManifests.set(key, true)
      throw withoutManifest(remote.origin)
    },
    resolve: async (name, tag, origin) => {
      if (origin !== remote.origin || !(await tags.isAnswered(name, tag))) return undefined
      try {
        return (await tags.resolve(name, tag, { isForwarded: true })) ?? { age: 0 }
      } catch (error) {
        if (isRegistryError(error)) return { age: 0, error }
        throw error
      }
    },
    addPushed: async (name, { digest, bytes, tags: pushedTags }) => {
      const known = await manifests.remember(name, digest, bytes)
      requests.delete(`${name}@${digest}`)
      onManifest(name, known)
      await stored.store(name, known)
      for (const tag of pushedTags) await tags.set(name, tag, digest)
    },
    expire: (name, pushedTags, digest) => {
      for (const tag of pushedTags) tags.expire(name, tag)
      requests.delete(`${name}@${digest}`)
    },
    remove: async (name, digest) => {
      manifests.forget(name, digest)
      requests.delete(`${name}@${digest}`)
      await links.removeManifest(name, digest)
      await tags.removeAllOf(name, digest)
    },
    removeTag: tags.remove,
  }
}

const tagResults = {
  fresh: 'hit',
  coalesced: 'coalesced',
  validated: 'miss',
  fetched: 'miss',
  stale: 'stale',
} as const satisfies Record<ResolvedTag['how'], CacheResult>
