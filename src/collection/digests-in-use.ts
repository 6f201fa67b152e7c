import type { Digest } from '../oci/digest.ts'
import type { CollectionParts } from './collection-parts.ts'
import { readManifest } from './manifest-reader.ts'

type Parts = Pick<CollectionParts, 'store' | 'inUse'>

/**
 * Manifests that workloads name by digest, or by a tag that was deleted: the tag is still served to
 * them, as what it pointed to last.
 */
export async function manifestsInUse({ store, inUse }: Parts): Promise<ReadonlySet<Digest>> {
  const { links } = store
  const found = new Set<Digest>()
  for (const { name, tag, digest } of inUse.references()) {
    if (digest !== undefined) found.add(digest)
    if (name === undefined || tag === undefined) continue
    const link = (await links.tag(name, tag)) ?? (await links.tagHistory(name, tag))[0]
    if (link !== undefined) found.add(link.digest)
  }
  return found
}

/**
 * These, and all that they lead to, even if they were deleted from their repositories: the deletion can
 * still be undone.
 */
export async function digestsInUse(parts: Parts): Promise<ReadonlySet<Digest>> {
  const manifests = new Set(await manifestsInUse(parts))
  const used = new Set<Digest>()
  // A Set iterates over what is added meanwhile.
  for (const digest of manifests) {
    used.add(digest)
    const found = await readManifest(parts.store.blobs, digest)
    if (found === undefined) continue
    const below = found.manifest.isIndex ? manifests : used
    for (const reference of found.manifest.references) below.add(reference.digest)
  }
  return used
}
