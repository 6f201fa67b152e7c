import { type Digest, digestOf } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { createMatcher } from '../../oci/globs.ts'
import type { Reference, RepositoryName } from '../../oci/reference.ts'
import type { Remote } from '../../remote/remote.ts'
import type { BlobCache } from '../../store/store.ts'
import type { Logger } from '../../telemetry/telemetry.ts'
import type { Fills } from '../fills.ts'
import type { Listings } from '../listings.ts'
import type { Permissions } from '../permissions.ts'
import { assertPrecondition } from '../precondition.ts'
import type { ProxiedManifests } from '../proxied-manifests.ts'
import { parsePushedManifest } from '../pushed-manifest.ts'
import type { Precondition, WritableRepository } from '../repository.ts'
import { createUploadExpiry } from '../uploads/upload-expiry.ts'
import { createUploads } from '../uploads/uploads.ts'
import { createCachedSessions } from './cached-sessions.ts'
import { createReferrersTags } from './referrers-tags.ts'

/** Milliseconds after its last request: abandoned sessions use room in the cache. */
const uploadExpiry = 3_600_000
/** Sessions of one upstream; each has an open file. */
const maxSessions = 1000
const maxSessionsPerWriter = 500

type PushThroughOptions = {
  readonly remote: Remote
  readonly cache: BlobCache
  readonly permissions: Permissions
  readonly manifests: ProxiedManifests
  readonly fills: Fills
  readonly listings: Listings
  /** The name below the upstream's prefix; undefined: the name is not below it. */
  readonly nameBelow: (name: RepositoryName) => RepositoryName | undefined
  /** Globs of names below the prefix that are served, and of those that are not. */
  readonly repositories: readonly string[]
  readonly except?: readonly string[]
  readonly log: Logger
}

/**
 * The write side of an upstream's repositories. Everything is sent to the upstream first. What it has
 * acknowledged is put into the cache, so that the next pull is a hit; what it refused is not.
 */
export function createPushThrough(options: PushThroughOptions) {
  const { cache, permissions, manifests, fills, listings, nameBelow, log } = options
  const remote = options.remote.writer
  const referrersTags = createReferrersTags({ remote: options.remote, manifests })
  const serves = createMatcher({ include: options.repositories, except: options.except })
  const sessions = createCachedSessions({ cache, remote })
  const uploads = createUploads({
    store: sessions,
    quotas: {
      reserve: async () => ({ growTo: async () => {}, shrinkTo: () => {}, end: () => {} }),
    },
    now: Date.now,
    maxSessions,
    maxSessionsPerWriter,
  })
  const expiry = createUploadExpiry({
    problem: () => undefined,
    uploads,
    expiry: uploadExpiry,
    now: Date.now,
    log,
  })

  const onStored = async (name: RepositoryName, digest: Digest): Promise<void> => {
    fills.forgetFailure(name, digest)
    await permissions.grant(name, digest)
  }

  /** The danger: its other clients change tags as well. So the upstream is asked now, and nothing cached or stale counts. */
  const assertAllowed = async (
    name: RepositoryName,
    reference: Reference,
    precondition: Precondition | undefined,
  ): Promise<void> => {
    if (precondition === undefined) return
    const asked = 'tag' in reference ? reference.tag : reference.digest
    const found = await options.remote.resolve(name, asked)
    if (typeof found === 'object') found.release()
    const current = typeof found === 'object' ? found.digest : found
    assertPrecondition(precondition, { name, reference, current })
  }

  /** False: the upstream has the manifest, and refuses to list it, as one whose tags never change. */
  const addReferrer = async (
    name: RepositoryName,
    referrer: Parameters<typeof referrersTags.add>[1],
  ): Promise<boolean> => {
    try {
      await referrersTags.add(name, referrer)
      return true
    } catch (err) {
      if (!isRegistryError(err) || isRegistryError(err, 'UNAVAILABLE', 'TOOMANYREQUESTS')) throw err
      const { digest } = referrer
      log.warn({ repository: name, digest, err }, 'a pushed referrer is not listed')
      return false
    }
  }

  /**
   * 1. Put it by its reference, with the further tags, and again by each tag that the upstream did not
   *    set: it need not know the parameter `tag`. Tags that were put alone point to a SHA-256.
   * 2. Store it, and set the tags: the next pull gets it.
   * 3. List it among the referrers of its subject, if the upstream does not. If that is refused, the answer names no
   *    subject: clients that maintain the list do so.
   */
  const putManifest = async (
    name: RepositoryName,
    request: Parameters<WritableRepository['putManifest']>[0],
  ) => {
    const { reference, tags, bytes } = request
    const { digest, manifest } = parsePushedManifest(request)
    const { mediaType, subject } = manifest
    const sha256 = digestOf(bytes)
    await assertAllowed(name, reference, request.precondition)
    const put = await remote.putManifest(name, reference, { digest, bytes, mediaType, tags })
    const alone = tags.filter((tag) => !put.tags.includes(tag))
    for (const tag of alone)
      await remote.putManifest(name, { tag }, { digest: sha256, bytes, mediaType })
    const own = 'tag' in reference ? [reference.tag] : []
    await manifests.addPushed(name, { digest, bytes, tags: [...own, ...put.tags] })
    if (alone.length > 0) await manifests.addPushed(name, { digest: sha256, bytes, tags: alone })
    try {
      const isListed = put.isListed || (await addReferrer(name, { digest, bytes }))
      return { digest, ...(isListed && subject && { subject: subject.digest }) }
    } finally {
      listings.forget(name)
    }
  }

  const open = (name: RepositoryName): WritableRepository => ({
    startUpload: (request) => uploads.start(name, request),
    uploadStatus: (upload) => uploads.status(name, upload),
    append: (upload, body, range) => uploads.append(name, upload, body, range),
    finishUpload: (upload, digest, body, range) =>
      uploads.finish(name, upload, {
        digest,
        body,
        range,
        onStored: () => onStored(name, digest),
      }),
    cancelUpload: (upload) => uploads.cancel(name, upload),
    mount: async ({ digest, from, mayPull }) => {
      // Without a source the upstream would take any that Berth may read, and the client perhaps not.
      const source = from !== undefined && mayPull(from) ? nameBelow(from) : undefined
      if (source === undefined || !serves(source)) return false
      const isMounted = await remote.mountBlob(name, { digest, from: source })
      if (isMounted) await onStored(name, digest)
      return isMounted
    },
    putManifest: (request) => putManifest(name, request),
    deleteTag: async (tag, precondition) => {
      // What does not exist is unknown, whatever the condition.
      await assertAllowed(
        name,
        { tag },
        precondition && ((current) => current === undefined || precondition(current)),
      )
      const isDeleted = await remote.deleteManifest(name, { tag })
      await manifests.removeTag(name, tag)
      listings.forget(name)
      return isDeleted
    },
    deleteManifest: async (digest) => {
      // What cannot be read can be deleted.
      const found = await manifests.find(name, { digest }).catch(() => undefined)
      const isDeleted = await remote.deleteManifest(name, { digest })
      await manifests.remove(name, digest)
      // It is gone, whether or not it is still listed.
      if (isDeleted && found !== undefined)
        await referrersTags
          .remove(name, { digest, bytes: found.known.bytes })
          .catch((err) =>
            log.warn({ repository: name, digest, err }, 'a deleted referrer is still listed'),
          )
      listings.forget(name)
      return isDeleted
    },
    deleteBlob: async (digest) => {
      const isDeleted = await remote.deleteBlob(name, digest)
      await permissions.revoke(name, digest)
      return isDeleted
    },
  })

  return {
    open,
    close: async () => {
      await expiry.close()
      await sessions.close()
    },
  }
}
