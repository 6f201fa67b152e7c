import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { CollectionParts } from './collection-parts.ts'
import { readManifest } from './manifest-reader.ts'

/** Indexes below indexes. */
const maxDepth = 8

type Parts = Pick<CollectionParts, 'store' | 'index' | 'now'>

type Revival = {
  /** What cannot be restored, because it was deleted from the trash. */
  readonly missing: readonly Digest[]
}

/**
 * Restores a manifest and all that it leads to from the trash, with their links. If something is
 * missing, the manifest itself gets no link: it could not be pulled.
 */
export async function revive(
  parts: Parts,
  { name, digest }: { readonly name: RepositoryName; readonly digest: Digest },
  depth = 0,
): Promise<Revival> {
  const { store, index, now } = parts
  const found = await readManifest(store.blobs, digest)
  if (found === undefined) return { missing: [digest] }
  const { manifest, size } = found
  const missing: Digest[] = []
  for (const { digest: part } of manifest.references) {
    const child =
      manifest.isIndex && depth < maxDepth ? await readManifest(store.blobs, part) : undefined
    if (child !== undefined)
      missing.push(...(await revive(parts, { name, digest: part }, depth + 1)).missing)
    // The index of a build cache references blobs.
    else if ((await store.blobs.stat(part)) !== undefined) await linkBlob(parts, name, part)
    // An index may have been pushed without all of its children.
    else if (!manifest.isIndex) missing.push(part)
  }
  if (missing.length > 0) return { missing }
  await store.links.addManifest(name, digest)
  if (manifest.subject !== undefined)
    await store.links.addReferrer(name, manifest.subject.digest, digest)
  index.apply([
    { kind: 'blob', digest, size, at: now() },
    { kind: 'manifest', name, digest, size, manifest, at: now() },
  ])
  return { missing }
}

async function linkBlob(
  { store, index }: Parts,
  name: RepositoryName,
  digest: Digest,
): Promise<void> {
  await store.links.addBlob(name, digest)
  index.apply([{ kind: 'link', name, digest }])
}
