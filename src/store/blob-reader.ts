import { fstatSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { Content } from '../oci/content.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import type { Stamp } from '../oci/file-stamp.ts'
import type { BlobSource } from './blob-store.ts'
import { createCheckedContent } from './checked-content.ts'
import { readChecksums } from './checksum-file.ts'
import { hasName } from './file-status.ts'
import { undefinedIfUnreadable } from './files.ts'
import { corrupt, createOpenBlobs } from './open-blobs.ts'
import { tailSize } from './shared-content.ts'
import { createVerify } from './verification.ts'
import { createVerifiedFiles } from './verified-files.ts'

const wrongBytes = 'its bytes have another digest'
const wrongBlock = 'a block has another checksum'
const wrongSize = 'its size has changed'

/** Reads blobs from their files, and records which files were verified since the start. */
export interface BlobReader extends BlobSource {
  /** The file was just verified. */
  trust(digest: Digest, stamp: Stamp): void
  /** The file may be corrupt: it is verified before the next reader gets any bytes. */
  suspect(digest: Digest): void
  /** Reads and verifies a whole file without a reader; awaits `rateCheck` with the bytes read so far. */
  verify(digest: Digest, pace: (bytes: number) => Promise<void>): Promise<void>
  /** Waits for verifications in flight. */
  close(): Promise<void>
}

type BlobReaderOptions = {
  readonly root: string
  /**
   * The size of a file is the size of its blob even before verification: files were durable before
   * they were renamed into place.
   */
  readonly trustsSizes: boolean
  /** Reports a corrupt file. The owner decides whether to remove it. */
  readonly onCorrupt: (digest: Digest, reason: string) => Promise<void>
  /** A blob of `size` bytes was read. */
  readonly onUse: (digest: Digest, size: number) => void
  /** Prevents eviction of a blob while it is read; called once for all its concurrent readers. */
  readonly pin: (digest: Digest) => () => void
}

/**
 * 1. A file with the stamp of its last verification is returned at once.
 * 2. Any other file is hashed first: a small one, or one whose readers failed, before it is
 *    returned; a large one while it is read, with its end held back. Concurrent readers share one
 *    open file and one hash.
 * 3. Ranges of a blob with checksums are compared with the checksums instead. A blob without
 *    checksums is hashed whole before any range of it is returned.
 * 4. A corrupt file is reported, and is a miss from then on.
 */
export function createBlobReader(options: BlobReaderOptions): BlobReader {
  const { root, trustsSizes, onCorrupt, onUse, pin } = options
  const verify = createVerify()

  const verified = createVerifiedFiles({
    root,
    onCorrupt: (digest, reason) => {
      blobs.forget(digest)
      return onCorrupt(digest, reason)
    },
  })

  /** A blob that was removed meanwhile must not be counted as stored again. */
  const use = (digest: Digest, file: FileHandle, size: number): void => {
    if (hasName(file.fd)) onUse(digest, size)
  }

  const blobs = createOpenBlobs({ verified, verify, wrongBytes, use, pin })

  /** Undefined when checksums do not help: the blob is verified already, or has none. */
  const openChecked = async (digest: Digest): Promise<Content | undefined> => {
    const file = await verified.open(digest)
    if (file === undefined) return undefined
    const content = await checked(digest, file)
    if (content === undefined) await file.close()
    return content
  }

  const checked = async (digest: Digest, file: FileHandle): Promise<Content | undefined> => {
    const stat = fstatSync(file.fd, { bigint: true })
    const size = Number(stat.size)
    const checksums = verified.stampOfVerified(digest, stat)
      ? undefined
      : await readChecksums(root, digest)
    if (checksums === undefined) return undefined
    if (checksums.size !== size) return verified.report(digest, wrongSize, file)
    use(digest, file, size)
    return createCheckedContent({
      digest,
      file,
      checksums,
      onCorrupt: async () => {
        await verified.report(digest, wrongBlock, file)
        return corrupt(digest)
      },
      onClosed: pin(digest),
    })
  }

  /** The size that is known without reading the blob; `unknown` when it takes a verification. */
  const knownSize = async (digest: Digest): Promise<number | 'unknown' | undefined> => {
    const file = await verified.open(digest)
    if (file === undefined) return undefined
    try {
      const stat = fstatSync(file.fd, { bigint: true })
      const size = Number(stat.size)
      if (trustsSizes || verified.stampOfVerified(digest, stat)) return size
      const checksums = await readChecksums(root, digest)
      if (checksums === undefined) return 'unknown'
      return checksums.size === size ? size : await verified.report(digest, wrongSize, file)
    } finally {
      await file.close()
    }
  }

  return {
    stat: async (digest) => {
      const size = await knownSize(digest)
      if (size !== 'unknown') return size === undefined ? undefined : { size }
      const opened = await blobs.open(digest)
      if (opened === undefined) return undefined
      const isRight = await (opened.verification ?? true)
      opened.content.release()
      return isRight ? { size: opened.size } : undefined
    },

    open: async (digest, { ranged = false } = {}) => {
      const checked = ranged ? await openChecked(digest) : undefined
      if (checked !== undefined) return checked
      const opened = await blobs.open(digest)
      if (opened === undefined) return undefined
      const reader = opened.content.read()
      opened.content.release()
      const { verification } = opened
      const canStreamUnverified = !ranged && opened.size > tailSize && !blobs.isSuspect(digest)
      if (verification === undefined || canStreamUnverified || (await verification)) return reader
      reader.close()
      return undefined
    },

    read: async (digest, limit) => {
      const file = await verified.open(digest)
      if (file === undefined) return undefined
      try {
        const { size } = fstatSync(file.fd)
        if (size > limit) return undefined
        const bytes = await file.readFile().catch(undefinedIfUnreadable)
        if (bytes === undefined || digestOf(bytes, algorithmOf(digest)) !== digest)
          return await verified.report(digest, wrongBytes, file)
        use(digest, file, size)
        return bytes
      } finally {
        await file.close()
      }
    },

    trust: verified.trust,
    suspect: blobs.suspect,

    verify: async (digest, pace) => {
      const file = await verified.open(digest)
      if (file === undefined) return
      const unpin = pin(digest)
      try {
        const stamp = await verify(digest, file, pace)
        if (stamp === undefined) await verified.report(digest, wrongBytes, file)
        else verified.trust(digest, stamp, file)
      } finally {
        await file.close()
        unpin()
      }
    },

    close: blobs.close,
  }
}
