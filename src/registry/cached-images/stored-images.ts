import type { CacheMemory } from '../../memory/memory.ts'
import type { Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { maxManifestSize, parseManifest } from '../../oci/manifest.ts'
import { formatReference, type Reference, type RepositoryName } from '../../oci/reference.ts'
import type { BlobCache, CachedLinkStore } from '../../store/store.ts'
import { type PartManifest, readParts } from './image-parts.ts'

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

/** Whether all that the image consists of, on these platforms, is on the disk. */
export async function isComplete(
  digest: Digest,
  options: {
    readonly cache: BlobCache
    readonly read: ReadStored
    readonly platforms: readonly string[]
  },
): Promise<boolean> {
  let hasManifests = true
  const { blobs } = await readParts(digest, {
    platforms: options.platforms,
    read: async (each) => {
      const found = await options.read(each)
      hasManifests &&= found !== undefined
      return found
    },
  })
  return hasManifests && [...blobs.keys()].every((each) => options.cache.sizeOf(each) !== undefined)
}

type Cached = {
  /** Below the upstream's prefix. */
  readonly below: RepositoryName
  readonly links: CachedLinkStore
}

/** Undefined: the cache does not know the tag or the digest in this repository. */
export function findCachedDigest(
  { below, links }: Cached,
  reference: Reference,
): Digest | undefined {
  const known = links.all(below)
  return 'digest' in reference
    ? known?.manifests.find((each) => each === reference.digest)
    : known?.tags.find(({ tag }) => tag === reference.tag)?.digest
}

/** @throws RegistryError MANIFEST_UNKNOWN: the cache does not know the tag or the digest in this repository. */
export function cachedDigest(
  { name, ...cached }: Cached & { readonly name: RepositoryName },
  reference: Reference,
): Digest {
  const digest = findCachedDigest(cached, reference)
  if (digest !== undefined) return digest
  throw new RegistryError('MANIFEST_UNKNOWN', {
    message: `${name}${'tag' in reference ? ':' : '@'}${formatReference(reference)} is not in the cache`,
    advice: 'pull or prefetch it first',
  })
}
