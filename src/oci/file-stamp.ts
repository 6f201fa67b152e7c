import type { BigIntStats } from 'node:fs'

/**
 * Detects changes of a file since its bytes were verified: inode, size, time of the last write,
 * time of the last change of any kind. It costs one system call; hashing again would use a whole
 * core.
 */
export type Stamp = { readonly file: string; readonly changed: bigint }

export function stampOf(stat: BigIntStats): Stamp {
  return { file: `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}`, changed: stat.ctimeNs }
}

/**
 * An open file that was unlinked meanwhile (evicted) is unchanged: only its link count, and so its
 * change time, differ.
 */
export function isUnchanged(stat: BigIntStats, stamp: Stamp): boolean {
  const now = stampOf(stat)
  return now.file === stamp.file && (now.changed === stamp.changed || stat.nlink === 0n)
}
