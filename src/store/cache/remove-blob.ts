import { rename, rm, rmdir, unlink } from 'node:fs/promises'
import type { Digest } from '../../oci/digest.ts'
import { isMissing } from '../files.ts'
import { blobDirectory, blobPath, checksumsPath } from '../paths.ts'

/** Removes the file of a blob that is evicted, and its checksums. */
export async function removeBlob(root: string, digest: Digest): Promise<void> {
  await unlink(checksumsPath(root, digest)).catch(ignoreMissing)
  await unlink(blobPath(root, digest)).catch(ignoreMissing)
  await removeDirectory(root, digest)
}

type DiscardOptions = {
  readonly root: string
  readonly digest: Digest
  /** An unused path on the same file system. */
  readonly away: string
  /** The blob has left its path. */
  readonly onMoved: () => void
}

/**
 * Removes whatever is at the path of a corrupt blob, also a directory or a FIFO: it is renamed away
 * in one step before it is deleted.
 */
export async function discardBlob({ root, digest, away, onMoved }: DiscardOptions): Promise<void> {
  await rename(blobPath(root, digest), away).catch(ignoreMissing)
  onMoved()
  await rm(checksumsPath(root, digest), { force: true })
  await removeDirectory(root, digest)
  await rm(away, { recursive: true, force: true })
}

/** The directory stays while it contains another copy of the blob. */
async function removeDirectory(root: string, digest: Digest): Promise<void> {
  await rmdir(blobDirectory(root, digest)).catch(() => {})
}

function ignoreMissing(error: unknown): void {
  if (!isMissing(error)) throw error
}
