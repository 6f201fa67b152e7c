import type { Digest } from '../oci/digest.ts'
import { createRunId } from '../store/store.ts'
import { withClaim } from './claims.ts'
import type { BlobLink } from './collected-index.ts'
import type { RunOptions, RunParts } from './run-parts.ts'

/**
 * Removes links of repositories to blobs that none of their manifests references, though others do, and
 * to blobs that do not exist: such as Distribution's garbage collection leaves behind. A link to a blob
 * that is unreferenced everywhere stays until the blob is deleted from the trash.
 */
export async function collectLinks(parts: RunParts, { report }: RunOptions): Promise<void> {
  const { links: queue, blobs, index, blocked } = parts
  await queue.refresh(unreferencedLinks(parts))
  const due = queue.due().filter(({ digest }) => !blobs.has(digest))
  if (due.length === 0) return
  const trashed = await blobsInTrash(parts)
  const run = createRunId(parts.now())
  for (const link of due) {
    if (trashed.has(link.digest)) continue
    if ((await blocked()) !== undefined) return
    const isRemoved = await removeLink(parts, link, run)
    queue.delete(keyOfLink(link))
    if (!isRemoved) continue
    index.apply([{ kind: 'unlink', ...link }])
    report({ step: 'unlink', run, ...link })
  }
}

export function keyOfLink({ name, digest }: BlobLink): string {
  return `${name}@${digest}`
}

/** The order of looks and removal is that of `removeBlob`. */
async function removeLink(
  parts: RunParts,
  link: BlobLink,
  run: ReturnType<typeof createRunId>,
): Promise<boolean> {
  const { name, digest } = link
  const { links } = parts.store
  if (await isNeeded(parts, link)) return false
  const isRemoved = await withClaim(parts.leases, digest, () => links.removeBlob(name, digest, run))
  if (isRemoved === 'leased') return false
  if (!isRemoved) return true
  if (!(await isNeeded(parts, link))) return true
  await links.addBlob(name, digest)
  return false
}

async function isNeeded({ index, leases }: RunParts, { name, digest }: BlobLink): Promise<boolean> {
  const references = await index.referencedBy(digest)
  return references.some((reference) => reference.name === name) || leases.isFresh(digest)
}

async function blobsInTrash({ store }: RunParts): Promise<ReadonlySet<Digest>> {
  const digests = new Set<Digest>()
  for (const { run } of await store.trash.runs())
    for await (const entry of store.trash.entries(run))
      if (entry.kind === 'blob') digests.add(entry.digest)
  return digests
}

const pageSize = 1000

async function* unreferencedLinks({ index }: RunParts): AsyncGenerator<BlobLink, void, undefined> {
  let after: BlobLink | undefined
  for (;;) {
    const page = await index.unreferencedLinks(after, pageSize)
    yield* page
    if (page.length < pageSize) return
    after = page.at(-1)
  }
}
