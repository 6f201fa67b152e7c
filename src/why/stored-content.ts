import type { Digest } from '../oci/digest.ts'
import { type Descriptor, maxManifestSize, parseManifest } from '../oci/manifest.ts'
import type { BlobSource } from '../store/store.ts'
import type { WhyContent } from './answer.ts'

/** Blobs that are looked for, so that a large index does not take minutes. */
const maxBlobs = 5000
const maxMissing = 20
/** An index that refers to itself by way of others is not followed for ever. */
const maxDepth = 4

export type StoredContent = Omit<WhyContent, 'place'> & {
  /** The manifest, and all that it and its children reference. */
  readonly digests: readonly Digest[]
}

/** What of an image is here; undefined: not even its manifest. Reads manifests, and looks for blobs. */
export async function findContent(
  blobs: Pick<BlobSource, 'read' | 'stat'>,
  root: Digest,
): Promise<StoredContent | undefined> {
  const seen = new Map<Digest, { readonly size: number; readonly isStored: boolean }>()
  const absentPlatforms: string[] = []
  const manifests: Digest[] = []
  let mediaType: string | undefined

  const add = async ({ digest, size }: Pick<Descriptor, 'digest' | 'size'>): Promise<void> => {
    if (seen.has(digest) || seen.size >= maxBlobs) return
    seen.set(digest, { size, isStored: (await blobs.stat(digest)) !== undefined })
  }

  const visit = async (digest: Digest, depth: number): Promise<boolean> => {
    const bytes = await blobs.read(digest, maxManifestSize)
    if (bytes === undefined) return false
    const { references, isIndex, mediaType: type } = parseManifest(bytes)
    mediaType ??= type
    manifests.push(digest)
    seen.set(digest, { size: bytes.length, isStored: true })
    for (const reference of references) {
      if (!isIndex) await add(reference)
      else if (depth < maxDepth && !seen.has(reference.digest) && seen.size < maxBlobs)
        if (!(await visit(reference.digest, depth + 1)))
          absentPlatforms.push(reference.platform ?? reference.digest)
    }
    return true
  }

  if (!(await visit(root, 0))) return undefined
  const all = [...seen]
  const stored = all.filter(([, { isStored }]) => isStored)
  const sum = (entries: typeof all) => entries.reduce((total, [, { size }]) => total + size, 0)
  return {
    mediaType,
    size: sum(all),
    blobs: all.length,
    storedSize: sum(stored),
    storedBlobs: stored.length,
    absentPlatforms: absentPlatforms.slice(0, maxMissing),
    missing: all
      .flatMap(([digest, { isStored }]) => (isStored ? [] : [digest]))
      .slice(0, maxMissing),
    digests: manifests,
  }
}
