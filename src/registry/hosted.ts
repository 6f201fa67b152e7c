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

/** How long the list of repositories is believed, in milliseconds; others may write to the volume. */
const catalogLife = 10_000

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
      // Whoever put it there, it is not the one who asks who made the mistake.
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
              onSent: () => {},
            }
          )
        },
        blob: async (digest, how) => {
          if (!(await links.hasBlob(name, digest))) return undefined
          const content = await blobs.open(digest, how)
          if (content === undefined) throw lost(digest)
          return { content, onSent: () => {} }
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

  /** The whole tree is walked for it: once for all who ask in that time. */
  const catalogs = new LRUCache<'all', readonly RepositoryName[]>({
    max: 1,
    ttl: catalogLife,
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
  const message = `${digest} is on disk, and ${cause.message}`
  return new RegistryError('UNKNOWN', { message, cause })
}

/** Linked, so it was here: to say that it is unknown would be a lie about what happened. */
function lost(digest: Digest): RegistryError {
  return new RegistryError('UNKNOWN', {
    message: `${digest} is missing or corrupt on disk though the repository has it`,
  })
}
