import type { CacheMemory, Reservations } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { joinName, type RepositoryName } from '../oci/reference.ts'
import type { BlobCache } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { announceChanges, learnChange } from './announced-changes.ts'
import { createWithAnswerTime, tooSlow } from './answer-time.ts'
import type { FindOrigins, FindUrl } from './blob-origins.ts'
import { createCachedInventory } from './cached-inventory.ts'
import { createCounters } from './counters.ts'
import { createFills } from './fills.ts'
import { createListings } from './listings.ts'
import type { KnownManifest, ManifestMemory } from './manifests.ts'
import { createPendingBlob } from './pending-blob.ts'
import { createPermissions } from './permissions.ts'
import { createPrefetch } from './prefetch.ts'
import { createProxiedBlobs } from './proxied-blobs.ts'
import { createProxiedManifests, type FoundManifest } from './proxied-manifests.ts'
import { createPushThrough } from './push/push-through.ts'
import { createRecentPulls } from './recent-pulls.ts'
import type {
  BlobAnswer,
  ManifestAnswer,
  ManifestRequest,
  Opened,
  Repository,
  UpstreamOptions,
} from './repository.ts'
import { isSettledWithin } from './settled-within.ts'
import type { SharedManifests } from './shared-manifests.ts'

type ProxiedOptions = UpstreamOptions & {
  readonly cache: BlobCache
  /** The name below the prefix; undefined: another upstream, or a hosted prefix, has the name. */
  readonly nameBelow: (name: RepositoryName) => RepositoryName | undefined
  readonly memory: ManifestMemory
  readonly caches: CacheMemory
  readonly inFlight: Reservations
  readonly fillDeadline: number
  readonly fillStall: number
  readonly answerTime: number
  readonly findOrigins: FindOrigins
  readonly shared: SharedManifests
  readonly findUrl: FindUrl | undefined
  readonly telemetry: Telemetry
}

const notPushed =
  'it belongs to an upstream, for which push: true is not configured (upstreams[].push)'

/** Maximum number of sizes that are recorded from one manifest. */
const maxSizesOfOne = 2000

/**
 * Repositories of one upstream, answered from the cache where possible. Names are relative to the
 * prefix.
 */
export function createProxied(options: ProxiedOptions) {
  const { prefix, upstream, remote, links, cache, caches, findOrigins, findUrl, telemetry } =
    options
  const { ttl, staleIfError } = options.tags
  // By repository: the manifest of one must not give a wrong size to another.
  const sizes = caches.create<number>()
  const recordSizes = (name: RepositoryName, { references, isIndex }: KnownManifest): void => {
    // Children of an index are manifests, which clients do not request as blobs.
    if (isIndex) return
    for (const { digest, size } of references.slice(0, maxSizesOfOne))
      sizes.set(`${name}@${digest}`, size)
  }

  const sizeOf = (name: RepositoryName, digest: Digest) => sizes.get(`${name}@${digest}`)

  const { answerTime } = options
  const withAnswerTime = createWithAnswerTime(answerTime)
  const counters = createCounters(upstream, telemetry.metrics)
  const fills = createFills({
    prefix,
    upstream,
    remote,
    blobs: cache,
    deadline: options.fillDeadline,
    maxStall: options.fillStall,
    counters,
    caches,
    telemetry,
  })
  const listings = createListings({
    remote,
    findShared: (name, asked) =>
      options.shared.list({ prefix, name, origin: remote.origin, asked }),
    ...{ caches, ttl, staleIfError },
  })
  const permissions = createPermissions({ links, remote, caches })
  const blobs = createProxiedBlobs({
    cache,
    fills,
    permissions,
    sizeOf,
    upstream,
    findUrl,
    originsOf: (name, digest, how) => findOrigins({ prefix, name, digest }, how),
  })
  const scope = `${upstream} ${prefix}`
  const manifests = createProxiedManifests({
    ...options,
    scope,
    policy: options.tags,
    counters,
    onManifest: recordSizes,
  })
  const pulls = createRecentPulls(Date.now)
  const prefetch = options.prefetch ? createPrefetch({ blobs, fills }) : undefined

  const answer = (
    name: RepositoryName,
    recordPull: () => void,
    { isCheck = false, isView = false, isForwarded = false }: ManifestRequest,
    { known, cache: cached, warning }: FoundManifest,
  ): ManifestAnswer => {
    if (!isCheck && !isView && !isForwarded) {
      recordPull()
      prefetch?.fetchLayers(name, known)
    }
    // The other replica counts the request.
    if (!isForwarded) counters.answered('manifest', cached)
    const { digest, mediaType, bytes } = known
    const found = { digest, mediaType, bytes, upstream, cache: cached }
    return warning === undefined ? found : { ...found, warning }
  }

  /**
   * Until the answer time is over, an error can be reported. After that, a response with a known
   * size starts without its bytes.
   */
  const blobWithinTime = async <Opened extends BlobAnswer>(
    name: RepositoryName,
    digest: Digest,
    opening: Promise<Opened | undefined>,
  ): Promise<BlobAnswer | undefined> => {
    if (await isSettledWithin(opening, answerTime)) return opening
    const size = sizeOf(name, digest)
    if (size !== undefined) return createPendingBlob({ digest, upstream, size, opening })
    opening.then(
      (found) => found?.content.close(),
      () => {},
    )
    throw tooSlow('the blob', answerTime)
  }

  const pushThrough = options.push
    ? createPushThrough({
        ...options,
        remote,
        permissions,
        manifests: announceChanges({ manifests, listings }, (name, change) =>
          options.shared.changed({ prefix, name, ...change }),
        ),
        fills,
        listings,
        log: telemetry.log,
      })
    : undefined

  const read = (name: RepositoryName): Repository => ({
    manifest: (reference, how = {}) => {
      const recordPull = pulls.prepare(name, reference)
      const known = how.isForced === true ? undefined : manifests.prepare(name, reference)()
      if (known !== undefined) return answer(name, recordPull, how, known)
      const finding = manifests.find(name, reference, how)
      return withAnswerTime('the manifest', finding).then(
        (found) => found && answer(name, recordPull, how, found),
      )
    },
    prepare: (reference) => {
      const find = manifests.prepare(name, reference)
      const recordPull = pulls.prepare(name, reference)
      return ({ isCheck, maxSize }) => {
        const known = find(maxSize)
        return known && answer(name, recordPull, { isCheck }, known)
      }
    },
    resolveTag: (tag, origin) => manifests.resolve(name, tag, origin),
    share: (asked, origin) => listings.share(name, asked, origin),
    learn: (change) => learnChange({ manifests, listings, permissions, fills }, name, change),
    blob: async (digest, how) => {
      // The other replica counts the request, and limits the time of its client.
      if (how?.isForwarded) return blobs.open(name, digest, how)
      const opening = counters.countFailure('blob', blobs.open(name, digest, how))
      const found = await blobWithinTime(name, digest, opening)
      if (found?.cache !== undefined) counters.answered('blob', found.cache)
      return found
    },
    redirect:
      findUrl &&
      (async (digest) => {
        const url = await blobs.redirect(name, digest)
        if (url !== undefined) counters.answered('blob', 'redirect')
        return url
      }),
    statBlob: (digest) => withAnswerTime('the size of the blob', blobs.stat(name, digest)),
    tags: (page) => withAnswerTime('the list of tags', listings.tags(name, page)),
    referrers: (digest) =>
      withAnswerTime('the list of referrers', listings.referrers(name, digest)),
  })

  return {
    open: (name: RepositoryName): Opened =>
      pushThrough === undefined
        ? { repository: read(name), readOnly: notPushed }
        : { repository: read(name), writable: pushThrough.open(name) },
    inventory: { ...createCachedInventory({ ...options, pulls }), nameBelow: options.nameBelow },
    source: { blobs, manifests, fills, links, nameBelow: options.nameBelow },
    running: fills.running,
    downloads: () =>
      fills.list().map((each) => ({ ...each, upstream, name: joinName(prefix, each.name) })),
    catalog: async () => (await links.repositories()).map((name) => joinName(prefix, name)),
    close: async () => {
      // At the same time: a prefetch must not start a fill after `fills` has closed.
      await Promise.all([prefetch?.close(), fills.close(), pushThrough?.close()])
    },
  }
}
