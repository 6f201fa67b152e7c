import type { LRUCache } from 'lru-cache'
import type { CacheMemory } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { type Manifest, maxManifestSize, parseManifest } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { BlobSource, LinkSource } from '../store/store.ts'

/** A manifest that is known to be in a repository: its bytes, and the view of them. */
export type KnownManifest = Manifest & { readonly digest: Digest; readonly bytes: Buffer }

/** Bytes that a manifest in memory, and each of its references, costs beside its own. */
const overhead = 2048
const referenceOverhead = 200
/** What is pulled most lies here: it gives way after all other caches. */
const weight = 20

/**
 * Manifests by repository and digest, for all upstreams together: what is asked for most is
 * answered without the disk.
 */
export type ManifestMemory = LRUCache<string, KnownManifest>

export function createManifestMemory(caches: CacheMemory): ManifestMemory {
  return caches.create({
    weight,
    size: ({ bytes, references }: KnownManifest) =>
      bytes.length + overhead + references.length * referenceOverhead,
  })
}

type ManifestsOptions = {
  readonly memory: ManifestMemory
  /** Keeps the entries of one store apart from those of another. */
  readonly scope: string
  readonly blobs: BlobSource
  readonly links: LinkSource
}

/** What a store knows of manifests, memory first. */
export interface Manifests {
  inMemory(name: RepositoryName, digest: Digest): KnownManifest | undefined
  /** Undefined unless the repository links it and its bytes are there. */
  stored(name: RepositoryName, digest: Digest): Promise<KnownManifest | undefined>
  /** `contentType` counts only where the bytes do not say what they are. */
  remember(name: RepositoryName, digest: Digest, bytes: Buffer, contentType?: string): KnownManifest
}

export function createManifests({ memory, scope, blobs, links }: ManifestsOptions): Manifests {
  const keyOf = (name: RepositoryName, digest: Digest) => `${scope} ${name}@${digest}`

  const remember: Manifests['remember'] = (name, digest, bytes, contentType) => {
    const known = { ...parseManifest(bytes, contentType), digest, bytes }
    memory.set(keyOf(name, digest), known)
    return known
  }

  return {
    inMemory: (name, digest) => memory.get(keyOf(name, digest)),
    remember,
    stored: async (name, digest) => {
      const known = memory.get(keyOf(name, digest))
      if (known !== undefined) return known
      if (!(await links.hasManifest(name, digest))) return undefined
      const bytes = await blobs.read(digest, maxManifestSize)
      return bytes && remember(name, digest, bytes)
    },
  }
}
