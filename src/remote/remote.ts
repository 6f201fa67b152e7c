import type { Credentials } from '../credentials/credentials.ts'
import type { CacheMemory, Release, Reservations } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import type { PageRequest } from '../oci/page.ts'
import { type Reference, type RepositoryName, referrersTag, type Tag } from '../oci/reference.ts'
import type { Outbound } from '../outbound/outbound.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createAdmission } from './admission.ts'
import { isFound } from './answers.ts'
import { createAuthorization } from './authorization.ts'
import { createBlobRequests } from './blob-requests.ts'
import type { Body } from './body.ts'
import { createExchange } from './exchange.ts'
import { createFailures } from './failures.ts'
import { createHosts, withBreakers } from './hosts.ts'
import { createLastRefusal } from './last-refusal.ts'
import { createManifestRequests } from './manifest-requests.ts'
import { type Observed, observed } from './observed.ts'
import { createOrigins } from './origins.ts'
import { type PingResult, ping } from './ping.ts'
import { fetchReferrers, readReferrers } from './referrers-list.ts'
import { type RequestContext, repositoryNames } from './request-context.ts'
import { createSending } from './sending.ts'
import type { Claim } from './slots.ts'
import { createTagsList } from './tags-list.ts'
import { createTransport, type Timeouts } from './transport.ts'

/**
 * A manifest as it came, its digest computed from its bytes and equal to whatever was asked for or
 * announced.
 */
export type RemoteManifest = {
  readonly digest: Digest
  readonly bytes: Buffer
  /** What the upstream's Content-Type says, for bytes that do not say what they are. */
  readonly contentType?: string
  /** Gives the memory back that is reserved for it: to be called by whoever asked, at last. */
  readonly release: Release
}

export type { PingResult } from './ping.ts'
export { retryPause } from './retry.ts'

/** A blob under way. Nothing of it is verified. */
export type RemoteBlob = {
  /** Bytes of the whole blob; undefined when the upstream does not say. */
  readonly size: number | undefined
  /** Where the body begins: what was asked for, or 0 from an upstream that knows no ranges. */
  readonly from: number
  readonly body: Body
  readonly drop: () => void
}

/** One page of tags, sorted, none twice. */
export type RemoteTags = {
  readonly tags: readonly Tag[]
  /** The `last` that asks for the next page; undefined at the end. */
  readonly next?: string
  /** Bytes in memory. */
  readonly size: number
}

/** Descriptors, as the upstream wrote them. */
export type RemoteReferrers = {
  readonly descriptors: readonly unknown[]
  /** Bytes in memory. */
  readonly size: number
}

export type BlobOptions = {
  readonly signal?: AbortSignal
  /** See {@link Claim}. */
  readonly giveWay?: () => boolean
  /** Goes on with a download that broke: asked once, since whoever goes on counts the attempts. */
  readonly isResume?: boolean
}

/**
 * One upstream registry, read. `undefined` is a true miss: it said 404. Everything else that is no
 * answer throws a RegistryError: DENIED (403) when it refuses us, UNAVAILABLE (502, 503, 504) when
 * it is broken, away or asks for quiet.
 */
export interface Remote {
  /** Scheme, host and port. */
  readonly origin: string
  readonly identity: () => string
  /** What it says to whoever shows no credential. For diagnosis. */
  ping(): Promise<PingResult>
  /** Whether it lets us in at all, without saying where to. Throws when it does not. */
  checkAccess(): Promise<void>
  /** Why it is not usable right now, if it is not. */
  problem(): string | undefined
  manifest(name: RepositoryName, reference: Reference): Promise<RemoteManifest | undefined>
  /**
   * The digest of a tag, without its manifest if the upstream can do that.
   */
  resolve(name: RepositoryName, tag: Tag): Promise<Digest | RemoteManifest | undefined>
  blob(
    name: RepositoryName,
    digest: Digest,
    from: number,
    options?: BlobOptions,
  ): Promise<RemoteBlob | undefined>
  /**
   * A part of a blob, both ends included; undefined when the upstream has no such blob, or does not
   * send exactly that part.
   */
  blobRange(
    name: RepositoryName,
    digest: Digest,
    range: { readonly first: number; readonly last: number },
    signal: AbortSignal,
  ): Promise<RemoteBlob | undefined>
  /** Whether the repository has the blob, and its size in bytes if the upstream says so. */
  statBlob(
    name: RepositoryName,
    digest: Digest,
  ): Promise<{ readonly size: number | undefined } | undefined>
  /** Without a page: the first one, of a size that the upstream takes. */
  tags(name: RepositoryName, page?: PageRequest): Promise<RemoteTags | undefined>
  /** What refers to `digest`; empty when nothing does. */
  referrers(name: RepositoryName, digest: Digest): Promise<RemoteReferrers>
  close(): Promise<void>
}

export type RemoteOptions = {
  /** Its name in metrics and logs. */
  readonly upstream: string
  /** Where it is: origin, and a path in front of `/v2/` if it has one. */
  readonly url: string
  readonly credentials: Credentials
  readonly tokenRealms: readonly string[]
  readonly redirects: readonly string[]
  readonly timeouts: Timeouts
  readonly certificateAuthorities?: string | undefined
  readonly outbound: Outbound
  readonly userAgent: string
  readonly caches: CacheMemory
  readonly inFlight: Reservations
  readonly telemetry: Telemetry
  /** Is told of every request. */
  readonly observe?: ((seen: Observed) => void) | undefined
}

export function createRemote(options: RemoteOptions): Remote {
  const { upstream, credentials, telemetry } = options
  const base = new URL(options.url)
  const hosts = createHosts((host, open) => {
    if (host === base.origin) telemetry.metrics.breakerOpen.set({ upstream }, open ? 1 : 0)
    telemetry.log.warn({ upstream, host, open }, 'breaker changed')
  })
  const plain = createTransport({ ...options, host: base.hostname })
  const transport = withBreakers(
    options.observe === undefined ? plain : observed(plain, options.observe),
    hosts,
  )
  const origins = createOrigins({
    own: base.origin,
    realms: options.tokenRealms,
    redirects: options.redirects,
  })
  const authorization = createAuthorization({
    origin: base.origin,
    credentials,
    origins,
    transport,
    caches: options.caches,
  })
  // There from the start: Prometheus takes no first value for an increase.
  telemetry.metrics.breakerOpen.set({ upstream }, 0)
  telemetry.metrics.digestMismatches.inc({ upstream }, 0)
  telemetry.metrics.fillResumes.inc({ upstream }, 0)
  const lastRefusal = createLastRefusal()
  const breaker = hosts.breaker(base.origin)
  const admission = createAdmission({ origin: base.origin, breaker })
  const failures = createFailures()
  const exchange = createExchange({
    credentials,
    failures,
    admission,
    sending: createSending({
      base,
      upstream,
      credentials,
      transport,
      authorization,
      origins,
      metrics: telemetry.metrics,
    }),
    lastRefusal,
  })

  const context: RequestContext = {
    exchange,
    origin: base.origin,
    lastRefusal,
    memory: options.inFlight,
    ...repositoryNames(base.host),
  }
  const manifests = createManifestRequests(context)
  const tagsList = createTagsList(options.caches)
  const listsOf = (name: RepositoryName) => ({
    ...context,
    path: context.pathOf(name),
    repository: context.repositoryOf(name),
  })

  return {
    origin: base.origin,
    identity: credentials.identity,
    ping: () => ping({ base, transport, origins, credentials }),

    checkAccess: async () => {
      const answer = await exchange.ask({
        method: 'GET',
        kind: 'ping',
        path: '/v2/',
        repository: '',
      })
      if (await isFound(answer, { ...context, repository: '' })) answer.drop()
    },

    problem: () =>
      breaker.problem() ??
      admission.problem() ??
      failures.problem() ??
      credentials.problem() ??
      lastRefusal.problem(),
    ...manifests,
    ...createBlobRequests(context),

    tags: (name, page = {}) => tagsList.fetch(listsOf(name), page),

    referrers: async (name, digest) => {
      const listed = await fetchReferrers(listsOf(name), digest)
      if (listed !== undefined) return listed
      const index = await manifests.manifest(name, { tag: referrersTag(digest) })
      if (index === undefined) return { descriptors: [], size: 0 }
      try {
        return readReferrers(index, digest, base.origin)
      } finally {
        index.release()
      }
    },

    close: async () => {
      credentials.close()
      await transport.close()
    },
  }
}
