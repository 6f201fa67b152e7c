import type { Digest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { maxManifestSize, parseManifest } from '../oci/manifest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { InUse } from './images-in-use.ts'

type Cache = {
  use(digest: Digest): boolean
  read(digest: Digest, limit: number): Promise<Buffer | undefined>
}

type Options = {
  readonly inUse: Pick<InUse, 'references'>
  readonly cache: Cache
  /** The digest that a tag had when it was last pulled, if the cache knows it. */
  readonly cachedDigest: (name: RepositoryName, tag: Tag) => Promise<Digest | undefined>
}

/** An index that refers to itself by way of others is not followed for ever. */
const maxDepth = 4

/**
 * Marks all cached blobs of images in use as used now, so that other blobs are evicted first: a node
 * that has an image does not pull it again, but the node that replaces it will. Reads only the cache.
 * Returns what it has marked.
 */
export async function keepCached({
  inUse,
  cache,
  cachedDigest,
}: Options): Promise<ReadonlySet<Digest>> {
  const marked = new Set<Digest>()

  const mark = async (digest: Digest, depth: number): Promise<void> => {
    if (depth > maxDepth || marked.has(digest) || !cache.use(digest)) return
    marked.add(digest)
    const references = await referencesOf(await cache.read(digest, maxManifestSize))
    for (const reference of references)
      if (isManifest(reference.mediaType)) await mark(reference.digest, depth + 1)
      else if (cache.use(reference.digest)) marked.add(reference.digest)
  }

  for (const { name, tag, digest } of inUse.references()) {
    if (digest !== undefined) await mark(digest, 0)
    const tagged = name && tag && (await cachedDigest(name, tag))
    if (tagged !== undefined) await mark(tagged, 0)
  }
  return marked
}

function isManifest(mediaType: string): boolean {
  return /manifest|index/.test(mediaType)
}

/** Empty for a config: some runtimes report its digest as the image's. */
async function referencesOf(bytes: Buffer | undefined) {
  if (bytes === undefined) return []
  try {
    return parseManifest(bytes).references
  } catch (error) {
    if (isRegistryError(error, 'MANIFEST_INVALID')) return []
    throw error
  }
}
