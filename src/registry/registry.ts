import type { CacheMemory, Reservations } from '../memory/memory.ts'
import type { Content } from '../oci/content.ts'
import type { Digest } from '../oci/digest.ts'
import type { PageRequest } from '../oci/page.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'
import type { Remote } from '../remote/remote.ts'
import type { BlobCache, BlobSource, LinkSource, LinkStore } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createHosted } from './hosted.ts'
import { createManifestMemory } from './manifests.ts'
import { createProxied } from './proxied.ts'
import { createRouting, type Route } from './routing.ts'

export { createMirror } from './mirror.ts'
export { isSettledWithin } from './settled-within.ts'

/**
 * How the cache answered: from itself; by asking the upstream; by joining a download under way;
 * from itself though the upstream could not be asked; from the upstream without storing, for want
 * of room or of a working disk.
 */
export type CacheResult = 'hit' | 'miss' | 'coalesced' | 'stale' | 'bypass'

/**
 * What every answer of a proxied repository tells beside the content; a hosted one's has neither.
 */
export type Provenance = {
  readonly cache?: CacheResult
  /** For a `Warning` header. */
  readonly warning?: string
}

export type ManifestAnswer = Provenance & {
  readonly digest: Digest
  readonly mediaType: string
  readonly bytes: Buffer
  /** Called with the number of bytes that were sent to the client. */
  readonly onSent: (bytes: number) => void
}

export type BlobAnswer = Provenance & {
  readonly content: Content
  readonly onSent: (bytes: number) => void
}

export type TagsAnswer = Provenance & {
  /** A page, sorted, none twice. */
  readonly tags: readonly Tag[]
  /** The `last` that asks for the next page; undefined at the end. */
  readonly next?: string
}

export type ReferrersAnswer = Provenance & {
  /** Descriptors as they were written, fields that we do not know included. */
  readonly descriptors: readonly unknown[]
}

/**
 * A repository that can be read. Undefined is a true miss; what is broken, refused or away throws a
 * RegistryError.
 */
export interface Repository {
  manifest(reference: Reference): Promise<ManifestAnswer | undefined>
  /** The caller closes the content. `ranged`: only parts of it will be read. */
  blob(digest: Digest, how?: { readonly ranged?: boolean }): Promise<BlobAnswer | undefined>
  /** Whether the repository has the blob, without downloading it. Size in bytes, if it is known. */
  statBlob(
    digest: Digest,
  ): Promise<(Provenance & { readonly size: number | undefined }) | undefined>
  tags(page: PageRequest): Promise<TagsAnswer | undefined>
  referrers(digest: Digest): Promise<ReferrersAnswer>
}

/** Where a name leads. */
export type Resolved = {
  /** The one name of the repository here, however it was asked for: what access is decided by. */
  readonly name: RepositoryName
  readonly repository: Repository
  /** Whether users who did not say who they are may read it, where such users are let in at all. */
  readonly anonymous: boolean
  /** The `?ns=` that decided, for `OCI-Namespace`. */
  readonly namespace?: string
}

export interface Registry {
  /**
   * @throws RegistryError NAME_UNKNOWN, DENIED: no upstream for the name, or one that does not
   * serve it.
   */
  resolve(name: RepositoryName, namespace?: string): Resolved
  /** Hosted and cached repositories, sorted. */
  catalog(): Promise<readonly RepositoryName[]>
  /** Downloads that are running. */
  fillsInFlight(): number
  /** Ends downloads, and waits for them. */
  close(): Promise<void>
}

export type UpstreamOptions = {
  readonly prefix: string
  /** Its name in metrics. */
  readonly upstream: string
  readonly remote: Remote
  readonly links: LinkStore
  readonly tags: {
    readonly ttl: number
    readonly staleIfError: number
    readonly immutable: readonly string[]
    readonly except?: readonly string[]
  }
  /** Globs of names below the prefix. */
  readonly repositories: readonly string[]
  /** Globs of names below the prefix that are not served, though `repositories` has them. */
  readonly except?: readonly string[]
  readonly anonymous: boolean
  readonly prefetch: boolean
}

type RegistryOptions = {
  readonly upstreams: readonly UpstreamOptions[]
  readonly cache: BlobCache
  readonly hosted: {
    readonly prefixes: readonly { readonly prefix: string; readonly anonymous: boolean }[]
    readonly blobs: BlobSource
    readonly links: LinkSource
  }
  /** How long a download may take in all, in milliseconds. */
  readonly fillDeadline: number
  /** How long a download goes on without progress, in milliseconds. */
  readonly fillStall: number
  /** How long a client waits for an answer, in milliseconds; what was asked goes on. */
  readonly answerTime: number
  /** What all that is cached in memory is bounded by. */
  readonly caches: CacheMemory
  /** What is worked with takes its memory from it. */
  readonly inFlight: Reservations
  readonly telemetry: Telemetry
}

export function createRegistry({
  upstreams,
  cache,
  hosted,
  fillDeadline,
  fillStall,
  answerTime,
  caches,
  inFlight,
  telemetry,
}: RegistryOptions): Registry {
  const memory = createManifestMemory(caches)
  const proxied = upstreams.map((options) => ({
    ...options,
    ...createProxied({
      ...options,
      cache,
      memory,
      caches,
      inFlight,
      fillDeadline,
      fillStall,
      answerTime,
      telemetry,
    }),
  }))
  const own = createHosted({
    ...hosted,
    prefixes: hosted.prefixes.map(({ prefix }) => prefix),
    memory,
    caches,
    inFlight,
  })

  const routes: Route[] = [
    ...proxied.map((upstream) => ({
      ...upstream,
      hosts: [new URL(upstream.remote.origin).host, upstream.prefix].filter(Boolean),
    })),
    ...hosted.prefixes.map(({ prefix, anonymous }) => ({
      prefix,
      hosts: [],
      repositories: ['**'],
      anonymous,
      open: own.open(prefix),
    })),
  ]
  const resolve = createRouting(routes)
  const fillsInFlight = () => proxied.reduce((sum, { running }) => sum + running(), 0)
  telemetry.metrics.onScrape(() => telemetry.metrics.fillsInFlight.set(fillsInFlight()))

  return {
    resolve,
    catalog: async () => {
      const lists = await Promise.all([own.catalog(), ...proxied.map(({ catalog }) => catalog())])
      return [...new Set(lists.flat())].sort()
    },
    fillsInFlight,
    close: async () => {
      await Promise.all(proxied.map(({ close }) => close()))
    },
  }
}
