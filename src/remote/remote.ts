import type { Credentials } from '../credentials/credentials.ts'
import type { CacheMemory, Reservations } from '../memory/memory.ts'
import { type RepositoryName, referrersTag } from '../oci/reference.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { findAbsentRepositories } from './absent-repository.ts'
import { createAdmission } from './admission.ts'
import { isFound } from './answers.ts'
import { createApiRequests } from './api-requests.ts'
import { createAuthorization } from './authorization.ts'
import { createBlobRequests } from './blob-requests.ts'
import { fetchCatalog } from './catalog-list.ts'
import { createExchange } from './exchange.ts'
import { createFailures } from './failures.ts'
import { createHosts, withBreakers } from './hosts.ts'
import { createLastDenial } from './last-denial.ts'
import { createManifestRequests } from './manifest-requests.ts'
import { createManifestWrites } from './manifest-writes.ts'
import { type Observed, observed } from './observed.ts'
import { createOrigins } from './origins.ts'
import { ping } from './ping.ts'
import { fetchReferrers, noneTagged, readReferrers } from './referrers-list.ts'
import type { Remote } from './remote-registry.ts'
import { type RequestContext, repositoryNames } from './request-context.ts'
import { waitForThrottles } from './retry-write.ts'
import { createSendOnce } from './send-once.ts'
import { createSending } from './sending.ts'
import { createTagsList } from './tags-list.ts'
import type { Transport } from './transport.ts'
import { createUploads } from './uploads/uploads.ts'

export { remoteBlob, remoteRange, verifiedManifest } from './answers.ts'
export { BelowRate } from './body.ts'
export { isTemporary, passingAdvice, UnconfirmedAnswer, UpstreamFailure } from './faults.ts'
export {
  createForwarder,
  type Forwarded,
  type ForwardedAnswer,
  type Forwarder,
} from './forwarder.ts'
export type { PingResult } from './ping.ts'
export { readBody } from './read-body.ts'
export { addReferrer, removeReferrer } from './referrers-tag.ts'
export type {
  Remote,
  RemoteBlob,
  RemoteManifest,
  RemoteReferrers,
  RemoteTags,
} from './remote-registry.ts'
export type { BlobToUpload, RemoteWriter, ResumableBlob } from './remote-writer.ts'
export { retryPause } from './retry.ts'
export { type Answer, createTransport, type Transport } from './transport.ts'

export type RemoteOptions = {
  /** The upstream's name in metrics and logs. */
  readonly upstream: string
  /** The upstream's URL: origin, and a path in front of `/v2/` if it has one. */
  readonly url: string
  readonly credentials: Credentials
  readonly tokenRealms: readonly string[]
  readonly redirects: readonly string[]
  /** Clients may push to it. */
  readonly push?: boolean | undefined
  /** Sends the requests; closed with the remote. */
  readonly transport: Transport
  readonly caches: CacheMemory
  readonly inFlight: Reservations
  readonly telemetry: Telemetry
  /** Is called for every request. */
  readonly observe?: ((seen: Observed) => void) | undefined
}

export function createRemote(options: RemoteOptions): Remote {
  const { upstream, credentials, telemetry } = options
  const base = new URL(options.url)
  const hosts = createHosts((host, open) => {
    if (host === base.origin) telemetry.metrics.breakerOpen.set({ upstream }, open ? 1 : 0)
    telemetry.log.warn({ upstream, host, open }, 'breaker changed')
  })
  const transport = withBreakers(
    options.observe === undefined
      ? options.transport
      : observed(options.transport, options.observe),
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
  // Created at the start: Prometheus does not count the first value of a series as an increase.
  telemetry.metrics.breakerOpen.set({ upstream }, 0)
  telemetry.metrics.digestMismatches.inc({ upstream }, 0)
  telemetry.metrics.fillResumes.inc({ upstream }, 0)
  const lastDenial = createLastDenial()
  const breaker = hosts.breaker(base.origin)
  const admission = createAdmission({ origin: base.origin, breaker })
  const failures = createFailures()
  const sending = createSending({
    base,
    upstream,
    credentials,
    transport,
    authorization,
    origins,
    metrics: telemetry.metrics,
  })
  const sendOnce = createSendOnce({ credentials, admission, sending, lastDenial })
  const exchange = createExchange({ sendOnce, failures })

  const context: RequestContext = {
    exchange: options.push ? findAbsentRepositories(exchange) : exchange,
    origin: base.origin,
    lastDenial,
    scrub: authorization.scrub,
    memory: options.inFlight,
    ...repositoryNames(base.host),
  }
  const writing = { ...context, exchange: waitForThrottles(exchange) }
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
      const answer = await exchange.request({
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
      authorization.problem() ??
      failures.problem() ??
      credentials.problem() ??
      lastDenial.problem(),
    ...manifests,
    ...createBlobRequests(context),
    ...createApiRequests(writing),
    writer: { ...createUploads(writing), ...createManifestWrites(writing) },

    tags: (name, page = {}) => tagsList.fetch(listsOf(name), page),

    repositories: () => fetchCatalog({ ...writing, exchange, identity: credentials.identity }),

    referrers: async (name, digest) => {
      const listed = await fetchReferrers(listsOf(name), digest)
      if (listed !== undefined) return listed
      const index = await manifests.manifest(name, { tag: referrersTag(digest) })
      if (index === undefined) return noneTagged
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
