import type { CacheMemory } from '../../memory/memory.ts'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { maxManifestSize, parseManifest } from '../../oci/manifest.ts'
import { formatReference, type Reference, type RepositoryName } from '../../oci/reference.ts'
import type { BlobCache, CachedLinkStore } from '../../store/store.ts'
import type { PartManifest } from './image-parts.ts'

/** Manifests on the disk, without a request to an upstream. */
export type ReadStored = (digest: Digest) => Promise<PartManifest | undefined>

export function createReadStored(cache: BlobCache, caches: CacheMemory): ReadStored {
  const parsed = caches.create<PartManifest>({
    size: ({ references }) => 500 + references.length * 200,
    ignoreFetchAbort: true,
    fetchMethod: async (digest) => {
      const bytes = await cache.read(digest as Digest, maxManifestSize)
      if (bytes === undefined) return undefined
      try {
        const { references, isIndex } = parseManifest(bytes)
        return { references, isIndex, size: bytes.length }
      } catch {
        return undefined
      }
    },
  })
  return async (digest) => (cache.sizeOf(digest) === undefined ? undefined : parsed.fetch(digest))
}

/** @throws RegistryError MANIFEST_UNKNOWN: the cache does not know the tag or the digest in this repository. */
export function cachedDigest(
  { name, below, links }: { name: RepositoryName; below: RepositoryName; links: CachedLinkStore },
  reference: Reference,
): Digest {
  const known = links.all(below)
  const digest =
    'digest' in reference
      ? known?.manifests.find((each) => each === reference.digest)
      : known?.tags.find(({ tag }) => tag === reference.tag)?.digest
  if (digest !== undefined) return digest
  throw new RegistryError('MANIFEST_UNKNOWN', {
    message: `${name}${'tag' in reference ? ':' : '@'}${formatReference(reference)} is not in the cache`,
    advice: 'pull or prefetch it first',
  })
}
