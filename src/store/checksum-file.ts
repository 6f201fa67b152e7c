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

/** Smaller blobs, in bytes, are hashed whole as quickly as their checksums could be read. */
export const minChecksummed = 1024 * 1024
/** Of a terabyte: what is larger was not written by us, in bytes. */
const maxFileSize = formattedSize(2 ** 40)

/** Undefined where there are none, or they are damaged: the blob has to be hashed whole then. */
export async function readChecksums(
  root: string,
  digest: Digest,
): Promise<BlockChecksums | undefined> {
  const file = await openRegular(checksumsPath(root, digest))
  if (file === 'missing' || file === 'strange') return undefined
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
  /** Where they are written first, on the same file system. */
  readonly temporary: string
}

/** Beside the blob, whose directory is there. */
export async function writeChecksums(options: WriteOptions): Promise<void> {
  const { root, digest, checksums, temporary } = options
  try {
    await writeFile(temporary, formatChecksums(digest, checksums), { flag: 'wx', mode: 0o444 })
    await rename(temporary, checksumsPath(root, digest))
  } finally {
    await rm(temporary, { force: true })
  }
}
