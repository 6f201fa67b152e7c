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
import { isFound, lengthOf, remoteBlob, verifiedManifest, wrongDigest } from './answers.ts'
import { createAuthorization } from './authorization.ts'
import type { Body } from './body.ts'
import { createBreaker } from './breaker.ts'
import { createExchange } from './exchange.ts'
import { UpstreamFailure } from './faults.ts'
import { type Greeting, greet } from './greeting.ts'
import { createLastRefusal } from './last-refusal.ts'
import { type Observed, observed } from './observed.ts'
import { createOrigins } from './origins.ts'
import { fetchReferrers, readReferrers } from './referrers-list.ts'
import { createSlots } from './slots.ts'
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
    signal?: AbortSignal,
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

/**
 * Questions and downloads do not wait for one another. So many a second is more than a cluster that
 * starts will ask, and less than a flood of names that do not exist.
 */
const questionSlots = {
  limit: 32,
  perSecond: 200,
  queue: 2000,
  patience: 15_000,
  purpose: 'questions to the upstream',
}
const downloadSlots = {
  limit: 48,
  perSecond: 200,
  queue: 2000,
  patience: 300_000,
  purpose: 'downloads from the upstream',
}

const hubHost = 'registry-1.docker.io'

export function createRemote(options: RemoteOptions): Remote {
  const { upstream, credentials, telemetry } = options
  const base = new URL(options.url)
  const plain = createTransport(options)
  const transport = options.observe === undefined ? plain : observed(plain, options.observe)
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
  const breaker = createBreaker({
    origin: base.origin,
    onChange: (open) => {
      telemetry.metrics.breakerOpen.set({ upstream }, open ? 1 : 0)
      telemetry.log.warn({ upstream, open }, 'breaker changed')
    },
  })
  // There from the start: Prometheus takes no first value for an increase.
  telemetry.metrics.breakerOpen.set({ upstream }, 0)
  telemetry.metrics.digestMismatches.inc({ upstream }, 0)
  telemetry.metrics.fillResumes.inc({ upstream }, 0)
  const lastRefusal = createLastRefusal()
  const shared = {
    base,
    upstream,
    credentials,
    transport,
    authorization,
    origins,
    breaker,
    lastRefusal,
    metrics: telemetry.metrics,
  }
  const questions = createExchange({ ...shared, slots: createSlots(questionSlots) })
  const downloads = createExchange({ ...shared, slots: createSlots(downloadSlots) })

  /** Docker Hub's official images live below `library/`, which its users never write. */
  const repositoryOf = (name: RepositoryName) =>
    base.host === hubHost && !name.includes('/') ? `library/${name}` : name
  const pathOf = (name: RepositoryName) => `/v2/${repositoryOf(name)}`

  const manifest = async (name: RepositoryName, reference: Reference) => {
    const path = `${pathOf(name)}/manifests/${formatReference(reference)}`
    const answer = await questions.ask({
      method: 'GET',
      path,
      repository: repositoryOf(name),
      headers: { accept: manifestTypes },
    })
    if (!isFound(answer, base.origin)) return undefined
    return verifiedManifest(answer, reference, base.origin)
  }

  const blob: Remote['blob'] = async (name, digest, from, signal) => {
    const answer = await downloads.ask({
      method: 'GET',
      path: `${pathOf(name)}/blobs/${digest}`,
      repository: repositoryOf(name),
      headers: { accept: '*/*', ...(from > 0 && { range: `bytes=${from}-` }) },
      ...(signal && { signal }),
    })
    return isFound(answer, base.origin) ? remoteBlob(answer, from, base.origin) : undefined
  }

  /**
   * public.ecr.aws answers HEAD of a blob with 401, or hangs up; once seen, GET is used from the
   * start.
   */
  let answersHead = true

  const headBlob = async (name: RepositoryName, digest: Digest) => {
    try {
      const path = `${pathOf(name)}/blobs/${digest}`
      const answer = await questions.ask({ method: 'HEAD', path, repository: repositoryOf(name) })
      answer.drop()
      if (answer.status === 404) return undefined
      return answer.status === 200 ? { size: lengthOf(answer) } : 'refused'
    } catch (error) {
      if (
        isRegistryError(error, 'DENIED') ||
        (error instanceof UpstreamFailure && error.fault === 'broken')
      )
        return 'refused'
      throw error
    }
  }

  const tagsList = createTagsList(options.caches)
  const listsOf = (name: RepositoryName) => ({
    exchange: questions,
    path: pathOf(name),
    repository: repositoryOf(name),
    origin: base.origin,
  })

  return {
    origin: base.origin,
    identity: credentials.identity,
    greet: () => greet({ base, transport, origins }),

    enter: async () => {
      const answer = await questions.ask({ method: 'GET', path: '/v2/', repository: '' })
      if (isFound(answer, base.origin)) answer.drop()
    },

    trouble: () =>
      breaker.isOpen()
        ? 'it failed, or asked for quiet, and is left alone for a moment'
        : (credentials.trouble() ?? lastRefusal.trouble()),
    manifest: (name, reference) => manifest(name, reference),

    resolve: async (name, tag) => {
      const path = `${pathOf(name)}/manifests/${tag}`
      const answer = await questions
        .ask({
          method: 'HEAD',
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

    blob,

    statBlob: async (name, digest) => {
      if (answersHead) {
        const stat = await headBlob(name, digest)
        if (stat !== 'refused') return stat
      }
      const found = await blob(name, digest, 0)
      answersHead = answersHead && found === undefined
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
