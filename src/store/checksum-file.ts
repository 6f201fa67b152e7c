import { rename, rm, writeFile } from 'node:fs/promises'
import type { Digest } from '../oci/digest.ts'
import {
  type BlockChecksums,
  formatChecksums,
  formattedSize,
  parseChecksums,
} from './block-checksums.ts'
import { openRegular } from './files.ts'
import { checksumsPath } from './paths.ts'

/** Smaller blobs, in bytes, are hashed whole as fast as their checksums could be read. */
export const minChecksummed = 1024 * 1024
/** Checksums of a terabyte, in bytes: a larger file was not written by Berth. */
const maxFileSize = formattedSize(2 ** 40)

/** Undefined when there are no checksums, or damaged ones: then the blob must be hashed whole. */
export async function readChecksums(
  root: string,
  digest: Digest,
): Promise<BlockChecksums | undefined> {
  const file = await openRegular(checksumsPath(root, digest))
  if (file === 'missing' || file === 'not-regular') return undefined
  try {
    const { size } = await file.stat()
    return size > maxFileSize ? undefined : parseChecksums(digest, await file.readFile())
  } catch {
    return undefined
  } finally {
    await file.close()
  }
}

type WriteOptions = {
  readonly root: string
  readonly digest: Digest
  readonly checksums: BlockChecksums
  /** Directory for the temporary file, on the same file system. */
  readonly temporary: string
}

/** Writes the checksums beside the blob. Its directory must exist. */
export async function writeChecksums(options: WriteOptions): Promise<void> {
  const { root, digest, checksums, temporary } = options
  try {
    await writeFile(temporary, formatChecksums(digest, checksums), { flag: 'wx', mode: 0o444 })
    await rename(temporary, checksumsPath(root, digest))
  } finally {
    await rm(temporary, { force: true })
  }
}
