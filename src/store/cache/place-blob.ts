import { fstatSync } from 'node:fs'
import { type FileHandle, lstat, rename } from 'node:fs/promises'
import type { Digest } from '../../oci/digest.ts'
import { type Stamp, stampOf } from '../../oci/file-stamp.ts'
import type { BlockChecksummer } from '../block-checksums.ts'
import { minChecksummed, writeChecksums } from '../checksum-file.ts'
import { hasName } from '../file-status.ts'
import { diskUse, errnoOf, makeDirectory } from '../files.ts'
import { blobDirectory, blobPath, checksumsPath } from '../paths.ts'
import type { Temporary } from '../temporary.ts'
import type { Budget, Reservation } from './budget.ts'
import type { Unpin } from './stored-blobs.ts'

/** Disk use of a blob in addition to its bytes: partial blocks, checksums, two directories. */
export const blobOverhead = 16 * 1024
const maxAttempts = 10

export type Place = {
  readonly root: string
  readonly temporary: Temporary
  readonly budget: Budget
  /** Bytes that the directory of a blob uses. */
  readonly directorySize: number
  /** The disk failed: the blob has no checksums. */
  readonly onFailure: (error: unknown) => void
}

type TemporaryBlob = {
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly path: string
  readonly handle: FileHandle
  readonly checksummer: Pick<BlockChecksummer, 'finish'> | undefined
  readonly reservation: Reservation
}

/**
 * Makes a verified temporary file a blob of the cache: renames it into place, writes its checksums beside
 * it, and counts it. The caller unpins it when it is not in use any more.
 */
export async function placeBlob(
  place: Place,
  file: TemporaryBlob,
): Promise<{ readonly stamp: Stamp; readonly unpin: Unpin }> {
  const { root, budget, directorySize } = place
  const { digest, path, handle, reservation } = file
  await handle.chmod(0o444)
  await renameIntoPlace(root, { digest, path })
  const used = (await addChecksums(place, file)) + diskUse(fstatSync(handle.fd)) + directorySize
  const stamp = stampOf(fstatSync(handle.fd, { bigint: true }))
  // The danger: the eviction of an older copy may have removed this one. There is no await
  // between this check and the commit to the budget: an eviction that has not removed it yet sees
  // the commit.
  if (!hasName(handle.fd)) return { stamp, unpin: () => {} }
  reservation.commit(digest, used)
  return { stamp, unpin: budget.pin(digest) }
}

type Named = Pick<TemporaryBlob, 'digest' | 'path'>

/** The eviction of an older copy may remove the directory between the two steps. */
async function renameIntoPlace(
  root: string,
  { digest, path }: Named,
  attempts = maxAttempts,
): Promise<void> {
  try {
    await makeDirectory(blobDirectory(root, digest))
    await rename(path, blobPath(root, digest))
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || attempts === 1) throw error
    await renameIntoPlace(root, { digest, path }, attempts - 1)
  }
}

/**
 * Returns the bytes that the checksums use on the disk. A blob without checksums is hashed whole
 * after the next start, before a range of it is read.
 */
async function addChecksums(
  { root, temporary, onFailure }: Place,
  { digest, size, checksummer }: TemporaryBlob,
): Promise<number> {
  if (checksummer === undefined || size < minChecksummed) return 0
  const checksums = checksummer.finish()
  await writeChecksums({ root, digest, checksums, temporary: await temporary.path() }).catch(
    onFailure,
  )
  return lstat(checksumsPath(root, digest)).then(diskUse, () => 0)
}
