import { type BigIntStats, fstatSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { isUnchanged, type Stamp, stampOf } from '../oci/file-stamp.ts'
import { hasName } from './file-status.ts'
import { openRegular } from './files.ts'
import { blobPath } from './paths.ts'

/** Maximum number of blobs whose stamps are kept; a blob without a stamp is verified again. */
const maxTrusted = 200_000
const maxKnownCorrupt = 10_000

/** Which blobs' files were verified since the start, and which were found corrupt. */
export interface VerifiedFiles {
  /** Opens a regular file that is not known to be corrupt. */
  open(digest: Digest): Promise<FileHandle | undefined>
  /** The file with this stamp was verified; `file`: unless it has been removed meanwhile. */
  trust(digest: Digest, stamp: Stamp, file?: FileHandle): void
  /** The stamp with which the file with this status was verified, if it is unchanged. */
  stampOfVerified(digest: Digest, stat: BigIntStats): Stamp | undefined
  forget(digest: Digest): void
  /** Reports a file as corrupt, once for all concurrent readers. */
  report(digest: Digest, reason: string, file?: FileHandle): Promise<undefined>
}

type VerifiedFilesOptions = {
  readonly root: string
  /** Reports a corrupt file. The owner decides whether to remove it. */
  readonly onCorrupt: (digest: Digest, reason: string) => Promise<void>
}

export function createVerifiedFiles({ root, onCorrupt }: VerifiedFilesOptions): VerifiedFiles {
  const stamps = new LRUCache<Digest, Stamp>({ ...limitEntries(maxTrusted) })
  /**
   * Corrupt files that were not removed: the disk became read-only, or Berth must not modify it.
   */
  const knownCorrupt = new LRUCache<Digest, Stamp>({ ...limitEntries(maxKnownCorrupt) })
  const reports = new Map<Digest, Promise<void>>()

  const isKnownCorrupt = (digest: Digest, file: FileHandle): boolean => {
    const stamp = knownCorrupt.get(digest)
    return stamp !== undefined && isUnchanged(fstatSync(file.fd, { bigint: true }), stamp)
  }

  const report: VerifiedFiles['report'] = async (digest, reason, file) => {
    if (file !== undefined) {
      const stat = await file.stat({ bigint: true })
      // The file was removed or replaced during verification: the current file is another one.
      if (stat.nlink === 0n) return undefined
      knownCorrupt.set(digest, stampOf(stat))
    }
    stamps.delete(digest)
    const running = reports.get(digest) ?? onCorrupt(digest, reason)
    reports.set(digest, running)
    await running.finally(() => reports.delete(digest))
    return undefined
  }

  return {
    open: async (digest) => {
      await reports.get(digest)
      const file = await openRegular(blobPath(root, digest))
      if (file === 'missing') return undefined
      if (file === 'not-regular') return report(digest, 'it is no regular file')
      if (!isKnownCorrupt(digest, file)) return file
      await file.close()
      return undefined
    },
    trust: (digest, stamp, file) => {
      if (file === undefined || hasName(file.fd)) stamps.set(digest, stamp)
    },
    stampOfVerified: (digest, stat) => {
      const stamp = stamps.get(digest)
      return stamp !== undefined && isUnchanged(stat, stamp) ? stamp : undefined
    },
    forget: (digest) => void stamps.delete(digest),
    report,
  }
}
