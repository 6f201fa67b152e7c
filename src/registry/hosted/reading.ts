import type { Digest } from '../../oci/digest.ts'
import { isRegistryError, RegistryError } from '../../oci/errors.ts'
import { cutPage } from '../../oci/page.ts'
import type { Reference, RepositoryName, Tag } from '../../oci/reference.ts'
import type { HostedStore } from '../../store/store.ts'
import type { KnownManifest, Manifests } from '../manifests.ts'
import type { Repository } from '../repository.ts'
import type { HostedIndex } from './hosted-index.ts'
import type { Leases } from './leases.ts'
import type { createPulls } from './pulls.ts'
import type { References } from './references.ts'
import { createReferrers } from './referrers.ts'

/** What workloads name. */
export interface ImagesInUse {
  /** In whatever repository. */
  hasDigest(digest: Digest): boolean
  hasTag(name: RepositoryName, tag: Tag): boolean
  tagsOf(name: RepositoryName): readonly Tag[]
}

type Found = { readonly known: KnownManifest; readonly warning?: string }

type ReadingOptions = {
  readonly store: Pick<HostedStore, 'blobs' | 'links'>
  readonly index: HostedIndex | undefined
  readonly manifests: Manifests
  readonly leases: Leases
  readonly references: References
  readonly inUse: ImagesInUse
  readonly onPull: ReturnType<typeof createPulls>
}

/** The read side of hosted repositories: the content of the directories, also if another program has written it. */
export function createReading(options: ReadingOptions) {
  const { store, index, manifests, leases, references, inUse, onPull } = options
  const { blobs, links } = store
  const { urlOf } = blobs
  const referrers = createReferrers({ links, manifests, index })

  const byDigest = async (
    name: RepositoryName,
    digest: Digest,
  ): Promise<KnownManifest | undefined> => {
    await leases.renew(digest)
    // Other processes may unlink it: an entry in memory proves nothing.
    if (!(await links.hasManifest(name, digest))) return undefined
    const known = await manifests.stored(name, digest).catch((cause: unknown) => {
      // The client that pulls is not the one that stored the invalid manifest.
      if (isRegistryError(cause, 'MANIFEST_INVALID')) throw unreadable(digest, cause)
      throw cause
    })
    if (known === undefined) throw lost(digest)
    return known
  }

  const byTag = async (name: RepositoryName, tag: Tag): Promise<Found | undefined> => {
    const link = await links.tag(name, tag)
    if (link === undefined) return byHistory(name, tag)
    const known = await byDigest(name, link.digest)
    if (known !== undefined) return { known }
    // Its manifest may just have been deleted, tags first.
    if ((await links.tag(name, tag))?.digest === link.digest) throw lost(link.digest)
    return byTag(name, tag)
  }

  /**
   * The danger: a pod whose tag was deleted cannot start again on another node. Asked last: each push of a
   * new tag asks for one that does not exist, and the history is searched in all runs of the trash.
   */
  const byHistory = async (name: RepositoryName, tag: Tag): Promise<Found | undefined> => {
    if (!inUse.hasTag(name, tag)) return undefined
    const [last] = await links.tagHistory(name, tag)
    if (last === undefined) return undefined
    const known = await byDigest(name, last.digest)
    const warning = `tag ${tag} was deleted; it is served because a workload uses it`
    return known && { known, warning }
  }

  const find = async (name: RepositoryName, reference: Reference): Promise<Found | undefined> => {
    if ('tag' in reference) return byTag(name, reference.tag)
    const known = await byDigest(name, reference.digest)
    return known && { known }
  }

  /** Distribution's garbage collection leaves the links of blobs that it deletes. */
  const assertNotLost = async (name: RepositoryName, digest: Digest): Promise<void> => {
    if ((await references.find(name, digest)) !== undefined) throw lost(digest)
  }

  return (name: RepositoryName): Repository => ({
    manifest: async (reference, { isView = false } = {}) => {
      const found = await find(name, reference)
      if (found === undefined) return undefined
      const { known, ...provenance } = found
      const { digest, mediaType, bytes } = known
      if (!isView) onPull({ name, digest, ...('tag' in reference && { tag: reference.tag }) })
      return { ...provenance, digest, mediaType, bytes }
    },
    blob: async (digest, how) => {
      if (!(await links.hasBlob(name, digest))) return undefined
      const content = await blobs.open(digest, how)
      if (content === undefined) await assertNotLost(name, digest)
      return content && { content }
    },
    redirect:
      urlOf &&
      (async (digest) => ((await links.hasBlob(name, digest)) ? urlOf(digest) : undefined)),
    statBlob: async (digest) => {
      await leases.renew(digest)
      if (!(await links.hasBlob(name, digest))) return undefined
      const stat = await blobs.stat(digest)
      if (stat === undefined) await assertNotLost(name, digest)
      return stat
    },
    tags: async (request) => {
      const tags = await links.tags(name)
      if (tags === undefined) return undefined
      const { entries, ...rest } = cutPage(tags, request)
      return { tags: entries, ...rest }
    },
    referrers: async (digest, page) => ({ descriptors: await referrers(name, digest, page) }),
  })
}

function unreadable(digest: Digest, cause: RegistryError): RegistryError {
  const message = `${digest} on disk is invalid: ${cause.message}`
  return new RegistryError('UNKNOWN', { message, cause })
}

/** The repository has a link to it, so it is not unknown: its file was lost or is corrupt. */
function lost(digest: Digest): RegistryError {
  return new RegistryError('UNKNOWN', {
    message: `${digest} is in the repository, but missing or corrupt on disk`,
  })
}
