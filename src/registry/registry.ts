import type { CacheMemory, Reservations } from '../memory/memory.ts'
import { nameBelow, type RepositoryName } from '../oci/reference.ts'
import type { BlobCache, HostedStore } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { FindOrigins, FindUrl } from './blob-origins.ts'
import { type CachedImages, createCachedImages } from './cached-images/cached-images.ts'
import { createHosted, type HostedIndex, type ImagesInUse, type Leases } from './hosted/hosted.ts'
import type { Inventory } from './inventory.ts'
import { joinInventories } from './join-inventories.ts'
import { createManifestMemory } from './manifests.ts'
import { createProxied } from './proxied.ts'
import type { HostedPrefix, HostedRemovals, Registry, UpstreamOptions } from './repository.ts'
import { createRouting, type Route } from './routing.ts'
import { notShared, type SharedManifests } from './shared-manifests.ts'

export { type BlobOrigin, type FindOrigins, replicaOrigin } from './blob-origins.ts'
export type {
  CachedImages,
  PinnedImage,
  Prefetch,
} from './cached-images/cached-images.ts'
export { createLeases } from './hosted/hosted.ts'
export type { Inventory, RepositoryFacts, RepositoryInventory, TagFacts } from './inventory.ts'
export { createMirror } from './mirror.ts'
export { chunksOf } from './read-content.ts'
export { createReplicaView } from './replica-view.ts'
export type {
  Body,
  CacheResult,
  ManifestAnswer,
  Precondition,
  PreparedManifest,
  Registry,
  Repository,
  Resolved,
  UploadRange,
  UploadRef,
  UploadStatus,
  UpstreamOptions,
  WritableRepository,
  Writer,
} from './repository.ts'
export { isSettledWithin } from './settled-within.ts'
export type { ListRequest, SharedList, SharedManifests, SharedTag } from './shared-manifests.ts'

type RegistryOptions = {
  readonly upstreams: readonly UpstreamOptions[]
  /** Names of this registry, and `*.domain`, which nodes send as `?ns=` when they reach it at another address. */
  readonly ownHosts?: readonly string[]
  readonly cache: BlobCache
  readonly hosted: {
    readonly prefixes: readonly HostedPrefix[]
    readonly store: HostedStore
    readonly index: HostedIndex | undefined
    readonly leases: Leases
    readonly inUse: ImagesInUse
    /** Nothing can be pushed or deleted. */
    readonly readOnly: boolean
    /** How long an upload session lasts after its last write, in milliseconds. */
    readonly uploadExpiry: number
    /** Other processes write as well. */
    readonly isShared?: boolean
  }
  /** Maximum time for a whole download, in milliseconds. */
  readonly fillDeadline: number
  /** Maximum time without progress of a download, in milliseconds. */
  readonly fillStall: number
  /** Maximum time that a client waits for a response, in milliseconds. The request continues. */
  readonly answerTime: number
  /** Where blobs of upstreams are looked for before the upstream is asked; default: nowhere. */
  readonly findOrigins?: FindOrigins
  /** Manifests and tags that another replica gets for all; default: none. */
  readonly shared?: SharedManifests | undefined
  /** Where clients may fetch blobs themselves that are not here; undefined: nowhere. */
  readonly findUrl?: FindUrl | undefined
  /** Limits the memory of all caches together. */
  readonly caches: CacheMemory
  /** Memory for work in flight. */
  readonly inFlight: Reservations
  readonly telemetry: Telemetry
}

export function createRegistry({
  upstreams,
  ownHosts = [],
  cache,
  hosted,
  fillDeadline,
  fillStall,
  answerTime,
  findOrigins = () => [],
  shared = notShared,
  findUrl,
  caches,
  inFlight,
  telemetry,
}: RegistryOptions): Registry & {
  readonly removals: HostedRemovals
  readonly inventory: Inventory
  readonly cachedImages: CachedImages
} {
  const memory = createManifestMemory(caches)
  const ownerLength = (name: RepositoryName): number =>
    Math.max(longestPrefix(hosted.prefixes, name), longestPrefix(upstreams, name))
  const proxied = upstreams.map((options) => ({
    ...options,
    ...createProxied({
      ...options,
      nameBelow: (name) =>
        ownerLength(name) === options.prefix.length ? nameBelow(options.prefix, name) : undefined,
      cache,
      memory,
      caches,
      inFlight,
      fillDeadline,
      fillStall,
      answerTime,
      findOrigins,
      shared,
      findUrl,
      telemetry,
    }),
  }))
  const cachedImages = createCachedImages({
    cache,
    caches,
    sources: proxied.map(({ source }) => source),
    log: telemetry.log,
  })
  const isHosted = (name: RepositoryName): boolean =>
    longestPrefix(hosted.prefixes, name) > longestPrefix(upstreams, name)
  const own = createHosted({
    ...hosted,
    isHosted,
    memory,
    caches,
    inFlight,
    log: telemetry.log,
  })

  const routes: Route[] = [
    ...proxied.map((upstream) => ({
      ...upstream,
      hosts: [new URL(upstream.remote.origin).host, upstream.prefix].filter(Boolean),
      isHosted: false,
    })),
    ...hosted.prefixes.map(({ prefix, anonymous }) => ({
      prefix,
      hosts: [],
      repositories: ['**'],
      anonymous,
      isHosted: true,
      open: own.open(prefix),
    })),
  ]
  const resolve = createRouting(routes, ownHosts)
  const fillsInFlight = () => proxied.reduce((sum, { running }) => sum + running(), 0)
  telemetry.metrics.onScrape(() => telemetry.metrics.fillsInFlight.set(fillsInFlight()))

  return {
    resolve,
    catalog: async () => {
      const lists = await Promise.all([own.catalog(), ...proxied.map(({ catalog }) => catalog())])
      return [...new Set(lists.flat())].sort()
    },
    fillsInFlight,
    removals: own.removals,
    cachedImages,
    inventory: joinInventories({
      hosted: own.inventory,
      cached: proxied.map(({ inventory }) => inventory),
      sizeOf: cache.sizeOf,
      downloads: () => proxied.flatMap(({ downloads }) => downloads()),
    }),
    close: async () => {
      // At the same time: a prefetch must not start a fill after those of its upstream have ended.
      await Promise.all([own, cachedImages, ...proxied].map(({ close }) => close()))
    },
  }
}

/** Length of the longest prefix that covers the name; -1: none does. */
function longestPrefix(
  owners: readonly { readonly prefix: string }[],
  name: RepositoryName,
): number {
  const covering = owners.filter(({ prefix }) => nameBelow(prefix, name) !== undefined)
  return Math.max(-1, ...covering.map(({ prefix }) => prefix.length))
}
