import type { FileHandle } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import type { Content } from '../oci/content.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { BlobSource } from './blob-store.ts'
import { createCheckedContent } from './checked-content.ts'
import { readChecksums } from './checksum-file.ts'
import { undefinedIfUnreadable } from './files.ts'
import { createSharedContent, type SharedContent, tailSize } from './shared-content.ts'
import { hasName, isUnchanged, type Stamp } from './stamp.ts'
import { createVerify } from './verification.ts'
import { createVerifiedFiles } from './verified-files.ts'

const maxSuspects = 10_000

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
 * `stamp`: the stamp of the verified file. `verification`: resolves to whether the verification in
 * flight succeeded.
 */
type OpenBlob = {
  readonly content: SharedContent
  readonly file: FileHandle
  readonly size: number
  stamp?: Stamp
  verification?: Promise<boolean>
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
  const inUse = new Map<Digest, OpenBlob>()
  const hash = createVerify()
  const suspects = new LRUCache<Digest, true>({ ...limitEntries(maxSuspects) })

  const verified = createVerifiedFiles({
    root,
    onCorrupt: (digest, reason) => {
      inUse.delete(digest)
      return onCorrupt(digest, reason)
    },
  })

  const suspect = (digest: Digest): void => {
    verified.forget(digest)
    suspects.set(digest, true)
  }

  /** A blob that was removed meanwhile must not be counted as stored again. */
  const use = (digest: Digest, file: FileHandle, size: number): void => {
    if (hasName(file.fd)) onUse(digest, size)
  }

  const share = (digest: Digest, file: FileHandle, size: number): OpenBlob => {
    // Only a counted blob can be pinned.
    use(digest, file, size)
    const unpin = pin(digest)
    const assertUnchanged = () => {
      if (opened.stamp !== undefined && isUnchanged(file.fd, opened.stamp)) return
      suspect(digest)
      throw new RegistryError('UNKNOWN', {
        message: `${digest} was changed on disk while it was read`,
      })
    }
    const onIdle = () => {
      if (inUse.get(digest) === opened) inUse.delete(digest)
    }
    const content = createSharedContent({
      digest,
      size,
      file,
      assertUnchanged,
      onReadFailure: () => suspect(digest),
      onIdle,
      onClosed: unpin,
    })
    const opened: OpenBlob = { content, file, size }
    inUse.set(digest, opened)
    return opened
  }

  const verifyWhileRead = async (digest: Digest, opened: OpenBlob): Promise<boolean> => {
    const { content, file, size } = opened
    try {
      const stamp = await hash(digest, file, content.advance)
      if (stamp !== undefined) {
        opened.stamp = stamp
        verified.trust(digest, stamp, file)
        content.finish(size)
        return true
      }
      // A client that retries must not read the same corrupt file.
      await verified.report(digest, wrongBytes, file)
      content.fail(corrupt(digest))
    } catch (error) {
      content.fail(error)
    }
    return false
  }

  /**
   * The file that current readers of the blob share, or a newly opened one; the caller holds it.
   */
  const openShared = async (digest: Digest): Promise<OpenBlob | undefined> => {
    const shared = () => {
      const opened = inUse.get(digest)
      if (
        opened === undefined ||
        (opened.verification === undefined && !verified.stampOfVerified(digest, opened.file))
      )
        return undefined
      use(digest, opened.file, opened.size)
      opened.content.hold()
      return opened
    }
    const before = shared()
    if (before !== undefined) return before
    const file = await verified.open(digest)
    if (file === undefined) return undefined
    const { size } = await file.stat()
    const meanwhile = shared()
    if (meanwhile !== undefined || !hasName(file.fd)) {
      await file.close()
      return meanwhile
    }
    const opened = share(digest, file, size)
    const stamp = verified.stampOfVerified(digest, file)
    if (stamp !== undefined) {
      opened.stamp = stamp
      opened.content.finish(size)
    } else {
      opened.content.hold()
      opened.verification = verifyWhileRead(digest, opened).finally(() => {
        delete opened.verification
        suspects.delete(digest)
        opened.content.release()
      })
    }
    return opened
  }

  /** Undefined when checksums do not help: the blob is verified already, or has none. */
  const openChecked = async (digest: Digest): Promise<Content | undefined> => {
    const file = await verified.open(digest)
    if (file === undefined) return undefined
    const content = await checked(digest, file)
    if (content === undefined) await file.close()
    return content
  }

  const checked = async (digest: Digest, file: FileHandle): Promise<Content | undefined> => {
    const { size } = await file.stat()
    const checksums = verified.stampOfVerified(digest, file)
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
      const { size } = await file.stat()
      if (trustsSizes || verified.stampOfVerified(digest, file)) return size
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
      const opened = await openShared(digest)
      if (opened === undefined) return undefined
      const isRight = await (opened.verification ?? true)
      opened.content.release()
      return isRight ? { size: opened.size } : undefined
    },

    open: async (digest, { ranged = false } = {}) => {
      const checked = ranged ? await openChecked(digest) : undefined
      if (checked !== undefined) return checked
      const opened = await openShared(digest)
      if (opened === undefined) return undefined
      const reader = opened.content.read()
      opened.content.release()
      const { verification } = opened
      const canStreamUnverified = !ranged && opened.size > tailSize && !suspects.has(digest)
      if (verification === undefined || canStreamUnverified || (await verification)) return reader
      reader.close()
      return undefined
    },

    read: async (digest, limit) => {
      const file = await verified.open(digest)
      if (file === undefined) return undefined
      try {
        const { size } = await file.stat()
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
    suspect,

    verify: async (digest, pace) => {
      const file = await verified.open(digest)
      if (file === undefined) return
      const unpin = pin(digest)
      try {
        const stamp = await hash(digest, file, pace)
        if (stamp === undefined) await verified.report(digest, wrongBytes, file)
        else verified.trust(digest, stamp, file)
      } finally {
        await file.close()
        unpin()
      }
    },

    close: async () => {
      await Promise.all([...inUse.values()].map(({ verification }) => verification))
    },
  }
}

function corrupt(digest: Digest): RegistryError {
  return new RegistryError('UNKNOWN', {
    message: `${digest} was corrupt on disk and has been removed; retry`,
  })
}
