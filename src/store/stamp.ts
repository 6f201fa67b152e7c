import { type BigIntStats, fstatSync } from 'node:fs'

/**
 * What tells whether a file was touched since its bytes were found right: inode, size, time of the
 * last write, time of the last change of any kind. It costs a system call where hashing again would
 * cost a core.
 */
export type Stamp = { readonly file: string; readonly changed: bigint }

export function stampOf(stat: BigIntStats): Stamp {
  return { file: `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}`, changed: stat.ctimeNs }
}

/**
 * An open file that was unlinked meanwhile (evicted) is still what it was: only its link count, and
 * so its change time, moved.
 */
export function isUnchanged(fd: number, stamp: Stamp): boolean {
  const stat = fstatSync(fd, { bigint: true })
  const now = stampOf(stat)
  return now.file === stamp.file && (now.changed === stamp.changed || stat.nlink === 0n)
}

/** Whether an open file is still there for others: one that was removed has no name any more. */
export function hasName(fd: number): boolean {
  return fstatSync(fd).nlink > 0
}
