import { LRUCache } from 'lru-cache'
import type { CacheMemory, Reservations } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { childrenOf } from '../oci/manifest.ts'
import { cutPage } from '../oci/page.ts'
import { joinName, type Reference, type RepositoryName, referrersTag } from '../oci/reference.ts'
import type { BlobSource, LinkSource } from '../store/store.ts'
import { createManifests, type KnownManifest, type ManifestMemory } from './manifests.ts'
import type { Repository } from './repository.ts'

/** How long the list of repositories is cached, in milliseconds; others may write to the volume. */
const catalogTtl = 10_000

type HostedOptions = {
  readonly prefixes: readonly string[]
  readonly blobs: BlobSource
  readonly links: LinkSource
  readonly memory: ManifestMemory
  readonly caches: CacheMemory
  readonly inFlight: Reservations
}

/**
 * Repositories whose content is on our own disk, such as an adopted Distribution volume. Names are
 * those on disk, prefix included.
 */
export function createHosted({ prefixes, ...options }: HostedOptions) {
  const { blobs, links } = options
  const manifests = createManifests({ ...options, scope: 'hosted' })

  const manifest = async (
    name: RepositoryName,
    reference: Reference,
  ): Promise<KnownManifest | undefined> => {
    const digest =
      'digest' in reference ? reference.digest : (await links.tag(name, reference.tag))?.digest
    if (digest === undefined) return undefined
    // Other processes may unlink it: an entry in memory proves nothing.
    const isLinked = await links.hasManifest(name, digest)
    if (!isLinked && 'digest' in reference) return undefined
    const known = await manifests.stored(name, digest).catch((cause: unknown) => {
      // The client that pulls is not the one that stored the invalid manifest.
      if (isRegistryError(cause, 'MANIFEST_INVALID')) throw unreadable(digest, cause)
      throw cause
    })
    if (known === undefined || !isLinked) throw lost(digest)
    return known
  }

  const open =
    (prefix: string) =>
    (below: RepositoryName): Repository => {
      const name = joinName(prefix, below)
      return {
        manifest: async (reference) => {
          const found = await manifest(name, reference)
          return (
            found && {
              digest: found.digest,
              mediaType: found.mediaType,
              bytes: found.bytes,
            }
          )
        },
        blob: async (digest, how) => {
          if (!(await links.hasBlob(name, digest))) return undefined
          const content = await blobs.open(digest, how)
          if (content === undefined) throw lost(digest)
          return { content }
        },
        statBlob: async (digest) => {
          if (!(await links.hasBlob(name, digest))) return undefined
          const stat = await blobs.stat(digest)
          if (stat === undefined) throw lost(digest)
          return stat
        },
        tags: async (request) => {
          const tags = await links.tags(name)
          if (tags === undefined) return undefined
          const { entries, ...rest } = cutPage(tags, request)
          return { tags: entries, ...rest }
        },
        referrers: async (digest) => {
          const index = await manifest(name, { tag: referrersTag(digest) })
          return { descriptors: index === undefined ? [] : childrenOf(index.bytes) }
        },
      }
    }

  /** Reads the whole directory tree, so concurrent requests share one list. */
  const catalogs = new LRUCache<'all', readonly RepositoryName[]>({
    max: 1,
    ttl: catalogTtl,
    ttlResolution: 0,
    fetchMethod: () => links.repositories(),
  })

  return {
    open,
    catalog: async () => {
      const names = (await catalogs.fetch('all')) ?? []
      return names.filter((name) =>
        prefixes.some((prefix) => prefix === '' || name.startsWith(`${prefix}/`)),
      )
    },
  }
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
