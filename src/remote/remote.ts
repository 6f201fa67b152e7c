import type { Credentials, ForwardProxy } from '../credentials/credentials.ts'
import type { CacheMemory } from '../memory/memory.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { mediaTypes } from '../oci/manifest.ts'
import type { PageRequest } from '../oci/page.ts'
import {
  formatReference,
  type Reference,
  type RepositoryName,
  referrersTag,
  type Tag,
} from '../oci/reference.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createAdmission } from './admission.ts'
import {
  isFound,
  lengthOf,
  remoteBlob,
  remoteRange,
  verifiedManifest,
  wrongDigest,
} from './answers.ts'
import { createAuthorization } from './authorization.ts'
import type { Body } from './body.ts'
import { createExchange } from './exchange.ts'
import { createFailures } from './failures.ts'
import { UpstreamFailure } from './faults.ts'
import { type Greeting, greet } from './greeting.ts'
import { createHeadSupport } from './head-support.ts'
import { createHosts, withBreakers } from './hosts.ts'
import { createLastRefusal } from './last-refusal.ts'
import { type Observed, observed } from './observed.ts'
import { createOrigins } from './origins.ts'
import { fetchReferrers, readReferrers } from './referrers-list.ts'
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
}

export { type Connected, watchConnections } from './connections.ts'
export type { Greeting } from './greeting.ts'
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

type BlobOptions = {
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
  greet(): Promise<Greeting>
  /** Whether it lets us in at all, without saying where to. Throws when it does not. */
  enter(): Promise<void>
  /** Why it is not usable right now, if it is not. */
  trouble(): string | undefined
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
  readonly proxy?: ForwardProxy | undefined
  readonly userAgent: string
  readonly caches: CacheMemory
  readonly telemetry: Telemetry
  /** Is told of every request. */
  readonly observe?: ((seen: Observed) => void) | undefined
}

/**
 * Every type that is known, so that what is cached does not depend on who asked first; then
 * whatever there is.
 */
const manifestTypes = [...Object.values(mediaTypes), '*/*;q=0.5'].join(', ')

/** A fill has a deadline of its own, which it tells by its signal. In milliseconds. */
const maxFillWait = 24 * 3_600_000
const hubHost = 'registry-1.docker.io'

export function createRemote(options: RemoteOptions): Remote {
  const { upstream, credentials, telemetry } = options
  const base = new URL(options.url)
  const hosts = createHosts((host, open) => {
    if (host === base.origin) telemetry.metrics.breakerOpen.set({ upstream }, open ? 1 : 0)
    telemetry.log.warn({ upstream, host, open }, 'breaker changed')
  })
  const plain = createTransport(options)
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

  /** Docker Hub's official images live below `library/`, which its users never write. */
  const repositoryOf = (name: RepositoryName) =>
    base.host === hubHost && !name.includes('/') ? `library/${name}` : name
  const pathOf = (name: RepositoryName) => `/v2/${repositoryOf(name)}`

  const manifest = async (name: RepositoryName, reference: Reference) => {
    const path = `${pathOf(name)}/manifests/${formatReference(reference)}`
    const answer = await exchange.ask({
      method: 'GET',
      kind: 'manifest',
      path,
      repository: repositoryOf(name),
      headers: { accept: manifestTypes },
    })
    if (!isFound(answer, base.origin)) return undefined
    return verifiedManifest(answer, reference, base.origin)
  }

  const getBlob = async (
    name: RepositoryName,
    digest: Digest,
    from: number,
    options: BlobOptions & { readonly kind: 'blob' | 'stat'; readonly maxWait?: number },
  ) => {
    const answer = await exchange.ask({
      ...options,
      method: 'GET',
      path: `${pathOf(name)}/blobs/${digest}`,
      repository: repositoryOf(name),
      headers: { accept: '*/*', ...(from > 0 && { range: `bytes=${from}-` }) },
    })
    return isFound(answer, base.origin) ? remoteBlob(answer, from, base.origin) : undefined
  }

  const headSupport = createHeadSupport()

  const headBlob = async (name: RepositoryName, digest: Digest) => {
    try {
      const path = `${pathOf(name)}/blobs/${digest}`
      const answer = await exchange.ask({
        method: 'HEAD',
        kind: 'stat',
        path,
        repository: repositoryOf(name),
      })
      answer.drop()
      if (answer.status === 404) return undefined
      return answer.status === 200 ? { size: lengthOf(answer) } : 'refused'
    } catch (error) {
      if (
        isRegistryError(error, 'DENIED') ||
        (error instanceof UpstreamFailure && ['broken', 'redirected'].includes(error.fault))
      )
        return 'refused'
      throw error
    }
  }

  const tagsList = createTagsList(options.caches)
  const listsOf = (name: RepositoryName) => ({
    exchange,
    path: pathOf(name),
    repository: repositoryOf(name),
    origin: base.origin,
  })

  return {
    origin: base.origin,
    identity: credentials.identity,
    greet: () => greet({ base, transport, origins }),

    enter: async () => {
      const answer = await exchange.ask({
        method: 'GET',
        kind: 'ping',
        path: '/v2/',
        repository: '',
      })
      if (isFound(answer, base.origin)) answer.drop()
    },

    trouble: () =>
      breaker.trouble() ??
      admission.trouble() ??
      failures.trouble() ??
      credentials.trouble() ??
      lastRefusal.trouble(),
    manifest: (name, reference) => manifest(name, reference),

    resolve: async (name, tag) => {
      const path = `${pathOf(name)}/manifests/${tag}`
      const answer = await exchange
        .ask({
          method: 'HEAD',
          kind: 'manifest',
          path,
          repository: repositoryOf(name),
          headers: { accept: manifestTypes },
        })
        .catch((error: unknown) => {
          if (isRegistryError(error, 'DENIED')) return undefined
          throw error
        })
      if (answer === undefined) return manifest(name, { tag })
      answer.drop()
      if (answer.status === 404) return undefined
      const digest = answer.header('docker-content-digest')
      // Some registries refuse HEAD, or leave out the digest.
      if (answer.status !== 200 || digest === undefined) return manifest(name, { tag })
      if (!isDigest(digest)) throw wrongDigest(base.origin, formatReference({ tag }))
      return digest
    },

    blob: (name, digest, from, options = {}) =>
      getBlob(name, digest, from, { ...options, kind: 'blob', maxWait: maxFillWait }),

    blobRange: async (name, digest, { first, last }, signal) => {
      const answer = await exchange.ask({
        method: 'GET',
        kind: 'blob',
        path: `${pathOf(name)}/blobs/${digest}`,
        repository: repositoryOf(name),
        headers: { accept: '*/*', range: `bytes=${first}-${last}` },
        isResume: true,
        signal,
      })
      return isFound(answer, base.origin) ? remoteRange(answer, { first, last }) : undefined
    },

    statBlob: async (name, digest) => {
      const triesHead = headSupport.isWorthTrying()
      if (triesHead) {
        const stat = await headBlob(name, digest)
        if (stat !== 'refused') {
          headSupport.answered()
          return stat
        }
      }
      const found = await getBlob(name, digest, 0, { kind: 'stat' })
      if (triesHead && found !== undefined) headSupport.refused()
      found?.drop()
      return found
    },

    tags: (name, page = {}) => tagsList.fetch(listsOf(name), page),

    referrers: async (name, digest) => {
      const listed = await fetchReferrers(listsOf(name), digest)
      if (listed !== undefined) return listed
      const index = await manifest(name, { tag: referrersTag(digest) })
      return index === undefined
        ? { descriptors: [], size: 0 }
        : readReferrers(index, digest, base.origin)
    },

    close: async () => {
      credentials.close()
      await transport.close()
    },
  }
}
