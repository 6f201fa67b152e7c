import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { BlobCache } from '../store/store.ts'
import { maxWait } from './asked-replicas.ts'
import {
  type BlobOrigin,
  type FindUrl,
  misdirected,
  type OriginsRequest,
  replicaOrigin,
} from './blob-origins.ts'
import type { Fills, RunningFill } from './fills.ts'
import type { Permissions } from './permissions.ts'
import type { BlobAnswer, BlobRequest, CacheResult } from './repository.ts'
import { isSettledWithin } from './settled-within.ts'

type OpenedBlob = BlobAnswer & { readonly cache: CacheResult }

/** Blobs of one upstream's repositories, from the disk or from a fill. */
export interface ProxiedBlobs {
  open(name: RepositoryName, digest: Digest, how?: BlobRequest): Promise<OpenedBlob | undefined>
  /**
   * Where a client may fetch a blob itself: only one that this repository has, and that is neither on the disk nor
   * being downloaded. Never rejects: `open` says what is wrong.
   */
  redirect(name: RepositoryName, digest: Digest): Promise<string | undefined>
  stat(
    name: RepositoryName,
    digest: Digest,
  ): Promise<{ readonly size: number | undefined; readonly cache: CacheResult } | undefined>
}

type ProxiedBlobsOptions = {
  /** Its name in metrics. */
  readonly upstream: string
  readonly cache: BlobCache
  readonly fills: Fills
  readonly permissions: Permissions
  /** The size of a blob in a manifest, in bytes. */
  readonly sizeOf: (name: RepositoryName, digest: Digest) => number | undefined
  readonly findUrl: FindUrl | undefined
  /** Where the bytes may be, besides the upstream. */
  readonly originsOf: (
    name: RepositoryName,
    digest: Digest,
    how: OriginsRequest,
  ) => readonly BlobOrigin[]
}

/**
 * 1. A stored blob that this repository is known to have is a hit.
 * 2. A blob that is stored, or being downloaded, for other repositories only: the upstream is asked
 *    whether this repository has it, because access to one repository is no access to another.
 * 3. A download that failed within the last seconds is not retried.
 * 4. If a fill is in flight, the request joins it. Otherwise it starts a fill, and a successful
 *    response of the upstream grants the permission. Before bytes of another origin are stored, the
 *    upstream is asked as in 2. When the fill of another repository fails, this repository
 *    starts its own: the upstream may deny access to the other one only.
 * 5. Another replica is never sent to a third one. It reads what a third one sends here already. It asks the next
 *    one if this one cannot store the blob, or waits itself for another replica.
 */
export function createProxiedBlobs({
  cache,
  fills,
  permissions,
  sizeOf,
  findUrl,
  originsOf,
  upstream,
}: ProxiedBlobsOptions): ProxiedBlobs {
  const stored = async (digest: Digest, how?: BlobRequest): Promise<OpenedBlob | undefined> => {
    const content = await cache.open(digest, how)
    return content && { content, upstream, cache: 'hit' }
  }

  const isElsewhere = async (name: RepositoryName, digest: Digest): Promise<boolean> => {
    const running = fills.find(digest)
    if (running !== undefined) return running.name !== name
    return (await cache.stat(digest)) !== undefined
  }

  const isPermitted = async (
    name: RepositoryName,
    digest: Digest,
    isFromUpstream: boolean,
  ): Promise<boolean> => {
    if (isFromUpstream) await permissions.grant(name, digest)
    else if (!(await permissions.known(name, digest)))
      return (await permissions.stat(name, digest)) !== undefined
    return true
  }

  const join = async (
    name: RepositoryName,
    digest: Digest,
    { fill, source }: RunningFill,
    { isForwarded, cache }: { readonly isForwarded: boolean; readonly cache: CacheResult },
  ): Promise<OpenedBlob | undefined> => {
    const joined = await fill.join({ isForwarded })
    if (joined === undefined) return undefined
    const { content, bypassed } = joined
    let isServed = false
    try {
      isServed = await isPermitted(name, digest, source() === 'upstream')
    } finally {
      if (!isServed) content.close()
    }
    return isServed ? { content, upstream, cache: bypassed ? 'bypass' : cache } : undefined
  }

  const isUnstored = (digest: Digest) => cache.isPaused() || fills.isUnstored(digest)

  /** Whether another replica may join. */
  const mayWait = async ({ fill, source, atUpstream }: RunningFill, { ranged }: BlobRequest) => {
    if (source() !== replicaOrigin) return true
    // The rest of a broken download: both may wait for the bytes of each other, unless this one continues at the upstream.
    const coming = ranged ? atUpstream : Promise.race([atUpstream, fill.opened])
    return isSettledWithin(coming, maxWait)
  }

  const fill = async (
    name: RepositoryName,
    digest: Digest,
    how: BlobRequest,
  ): Promise<OpenedBlob | undefined> => {
    const running = fills.find(digest)
    const { isForwarded = false } = how
    // The other replica looks for one that has begun the same download. This one has not.
    if (running === undefined && isForwarded && how.ranged) return undefined
    const isComing = running !== undefined && running.source() !== replicaOrigin
    if (isForwarded && !isComing && isUnstored(digest)) throw misdirected(digest)
    if (running === undefined) {
      const findOrigins = (isForwarded: boolean) =>
        originsOf(name, digest, { isForwarded, isUnstored: isUnstored(digest) })
      const own = fills.start(name, digest, {
        expectedSize: sizeOf(name, digest),
        origins: findOrigins(isForwarded),
        findOrigins: () => findOrigins(false),
        isPermitted: () => isPermitted(name, digest, false),
        client: how.client,
      })
      return join(name, digest, own, { isForwarded, cache: 'miss' })
    }
    if (isForwarded && !(await mayWait(running, how))) throw misdirected(digest)
    const joining = { isForwarded, cache: 'coalesced' } as const
    if (running.name === name) return join(name, digest, running, joining)
    // The fill started after the check of the permission.
    if (!(await permissions.known(name, digest))) return open(name, digest, how)
    const joined = await join(name, digest, running, joining).catch(() => undefined)
    if (joined !== undefined) return joined
    await running.fill.done
    return open(name, digest, how)
  }

  const open = async (
    name: RepositoryName,
    digest: Digest,
    how: BlobRequest = {},
  ): Promise<OpenedBlob | undefined> => {
    if (await permissions.known(name, digest)) {
      const hit = await stored(digest, how)
      if (hit !== undefined) return hit
    } else if (await isElsewhere(name, digest)) {
      const isAllowed = (await permissions.stat(name, digest)) !== undefined
      return isAllowed ? open(name, digest, how) : undefined
    }
    const recent = fills.recentFailure(name, digest)
    if (recent instanceof RegistryError) throw recent
    return recent === 'absent' ? undefined : fill(name, digest, how)
  }

  return {
    open,

    redirect: async (name, digest) => {
      if (cache.sizeOf(digest) !== undefined || fills.find(digest) !== undefined) return undefined
      const url = await findUrl?.(digest)
      if (url === undefined) return undefined
      return (await isPermitted(name, digest, false).catch(() => false)) ? url : undefined
    },

    stat: async (name, digest) => {
      const stored = await cache.stat(digest)
      if (stored !== undefined && (await permissions.known(name, digest)))
        return { ...stored, cache: 'hit' }
      const stat = await permissions.stat(name, digest)
      // What the upstream says of the size is not verified.
      const size = stored?.size ?? stat?.size ?? sizeOf(name, digest)
      return stat && { size, cache: 'miss' }
    },
  }
}
