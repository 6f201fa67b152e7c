import type { Digest } from '../../oci/digest.ts'
import type { Descriptor, Manifest } from '../../oci/manifest.ts'
import { isForPlatform } from '../../oci/platform.ts'

/** Manifests that an index leads to: the largest in use have some hundred. */
const maxManifests = 1000
/** An index that refers to itself by way of others is not followed for ever. */
const maxDepth = 4

/** Digests and sizes in bytes. */
export type ImageParts = {
  readonly manifests: ReadonlyMap<Digest, number>
  readonly blobs: ReadonlyMap<Digest, number>
  /** Platforms of the index that were left out. */
  readonly skipped: readonly string[]
}

export type PartManifest = Pick<Manifest, 'references' | 'isIndex'> & { readonly size: number }

type Reading = {
  /** Undefined: it is not there, and has no parts that are known. */
  readonly read: (digest: Digest) => Promise<PartManifest | undefined>
  /** Of an index; empty: all. */
  readonly platforms?: readonly string[]
}

/** All that an image consists of, also by way of an index. */
export async function readParts(
  root: Digest,
  { read, platforms = [] }: Reading,
): Promise<ImageParts> {
  const manifests = new Map<Digest, number>()
  const blobs = new Map<Digest, number>()
  const skipped: string[] = []

  const isWanted = ({ platform }: Descriptor): boolean =>
    platforms.length === 0 || platforms.some((wanted) => isForPlatform(platform, wanted))

  const visit = async (digest: Digest, depth: number): Promise<void> => {
    if (manifests.has(digest) || manifests.size >= maxManifests || depth > maxDepth) return
    const found = await read(digest)
    if (found === undefined) return
    manifests.set(digest, found.size)
    for (const reference of found.references) {
      // Indexes of build caches list layers.
      if (!found.isIndex || !isManifest(reference)) blobs.set(reference.digest, reference.size)
      else if (isWanted(reference)) await visit(reference.digest, depth + 1)
      else skipped.push(reference.platform ?? 'unknown')
    }
  }
  await visit(root, 0)
  return { manifests, blobs, skipped }
}

function isManifest({ mediaType }: Descriptor): boolean {
  return /manifest|index/.test(mediaType)
}
