import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { recencyPath } from '../paths.ts'
import type { Temporary } from '../temporary.ts'
import type { FoundBlob } from './scan.ts'

/**
 * Writes the order of use, oldest first, one digest per line, so that the next run evicts in the
 * same order.
 */
export async function writeRecency(
  root: string,
  temporary: Temporary,
  digests: readonly Digest[],
): Promise<void> {
  const path = await temporary.path()
  try {
    await writeFile(path, digests.map((digest) => `${digest}\n`).join(''), { flag: 'wx' })
    await rename(path, recencyPath(root))
  } finally {
    await rm(path, { force: true })
  }
}

/**
 * Sorts the blobs that a scan found, oldest first: those in the file of the last run in its order,
 * then the others by the time at which they were stored. A time in the future only makes a blob the
 * newest.
 */
export async function byRecency(
  root: string,
  found: readonly FoundBlob[],
): Promise<readonly FoundBlob[]> {
  const text = await readFile(recencyPath(root), 'utf8').catch(() => '')
  const ranks = new Map<Digest, number>()
  for (const line of text.split('\n')) if (isDigest(line)) ranks.set(line, ranks.size)
  const rank = ({ digest }: FoundBlob) => ranks.get(digest) ?? ranks.size
  return found.toSorted((a, b) => rank(a) - rank(b) || a.modified - b.modified)
}
