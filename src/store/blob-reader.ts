import type { FileHandle } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import type { Content } from '../oci/content.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { BlobSource } from './blob-store.ts'
import { createCheckedContent } from './checked-content.ts'
import { readChecksums } from './checksum-file.ts'
import { nothingIfBroken } from './files.ts'
import { createSharedContent, heldBack, type SharedContent } from './shared-content.ts'
import { createSoundness } from './soundness.ts'
import { hasName, isUnchanged, type Stamp } from './stamp.ts'
import { createVerify } from './verification.ts'

const mostDoubted = 10_000

const wrongBytes = 'its bytes have another digest'
const wrongBlock = 'a block has another checksum'
const wrongSize = 'its size has changed'

/** Reads blobs from their files, and knows which of them were found right since the start. */
export interface BlobReader extends BlobSource {
  /** The file was just found right. */
  trust(digest: Digest, stamp: Stamp): void
  /** Something may be wrong with the file: it is verified before anybody gets any of it. */
  doubt(digest: Digest): void
  /** Reads all of a file that nobody asked for; `pace` is awaited with the bytes read so far. */
  verify(digest: Digest, pace: (bytes: number) => Promise<void>): Promise<void>
  /** Waits for what is being verified. */
  close(): Promise<void>
}

type BlobReaderOptions = {
  readonly root: string
  /**
   * A file has the size of its blob, whoever verified it: files were durable before they got their
   * names.
   */
  readonly trustsSizes: boolean
  /** A file that is not what its name says. What becomes of it is its owner's decision. */
  readonly onRot: (digest: Digest, reason: string) => Promise<void>
  /** A blob of so many bytes is read. */
  readonly onUse: (digest: Digest, size: number) => void
  /**
   * Keeps a blob from being removed while it is read; called once for all who read it at the same
   * time.
   */
  readonly pin: (digest: Digest) => () => void
}

/**
 * `stamp`: with which it was found right. `settled` tells whether the verification that is under way
 * found it right.
 */
type Opened = {
  readonly content: SharedContent
  readonly file: FileHandle
  readonly size: number
  stamp?: Stamp
  settled?: Promise<boolean>
}

/**
 * 1. A file whose stamp is the one with which it was last found right is handed out at once.
 * 2. Any other is hashed first: a small one, or one whose readers were cut off, before it is handed
 *    out, a large one while it is read, its end held back. One open file, and one hash, serve all
 *    who read at the same time.
 * 3. Parts of one that has checksums are compared with these instead; without, it is hashed whole
 *    before any part of it is handed out.
 * 4. What does not match is reported, and not here any more.
 */
export function createBlobReader(options: BlobReaderOptions): BlobReader {
  const { root, trustsSizes, onRot, onUse, pin } = options
  const inUse = new Map<Digest, Opened>()
  const hash = createVerify()
  const doubted = new LRUCache<Digest, true>({ max: mostDoubted })

  const sound = createSoundness({
    root,
    onCorrupt: (digest, reason) => {
      inUse.delete(digest)
      return onRot(digest, reason)
    },
  })

  const doubt = (digest: Digest): void => {
    sound.forget(digest)
    doubted.set(digest, true)
  }

  /** What has been removed meanwhile must not be counted as there again. */
  const use = (digest: Digest, file: FileHandle, size: number): void => {
    if (hasName(file.fd)) onUse(digest, size)
  }

  const share = (digest: Digest, file: FileHandle, size: number): Opened => {
    // Only what is counted can be pinned.
    use(digest, file, size)
    const unpin = pin(digest)
    const prove = () => {
      if (opened.stamp !== undefined && isUnchanged(file.fd, opened.stamp)) return
      doubt(digest)
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
      prove,
      onBroken: () => doubt(digest),
      onIdle,
      onClosed: unpin,
    })
    const opened: Opened = { content, file, size }
    inUse.set(digest, opened)
    return opened
  }

  const verifyWhileRead = async (digest: Digest, opened: Opened): Promise<boolean> => {
    const { content, file, size } = opened
    try {
      const stamp = await hash(digest, file, content.advance)
      if (stamp !== undefined) {
        opened.stamp = stamp
        sound.trust(digest, stamp, file)
        content.finish(size)
        return true
      }
      // Who is told to ask again must not meet the same file.
      await sound.report(digest, wrongBytes, file)
      content.fail(corrupt(digest))
    } catch (error) {
      content.fail(error)
    }
    return false
  }

  /** The shared file of those who read the blob now, or one newly opened, held for the caller. */
  const openShared = async (digest: Digest): Promise<Opened | undefined> => {
    const shared = () => {
      const opened = inUse.get(digest)
      if (
        opened === undefined ||
        (opened.settled === undefined && !sound.trusted(digest, opened.file))
      )
        return undefined
      use(digest, opened.file, opened.size)
      opened.content.hold()
      return opened
    }
    const before = shared()
    if (before !== undefined) return before
    const file = await sound.open(digest)
    if (file === undefined) return undefined
    const { size } = await file.stat()
    const meanwhile = shared()
    if (meanwhile !== undefined || !hasName(file.fd)) {
      await file.close()
      return meanwhile
    }
    const opened = share(digest, file, size)
    const stamp = sound.trusted(digest, file)
    if (stamp !== undefined) {
      opened.stamp = stamp
      opened.content.finish(size)
    } else {
      opened.content.hold()
      opened.settled = verifyWhileRead(digest, opened).finally(() => {
        delete opened.settled
        doubted.delete(digest)
        opened.content.release()
      })
    }
    return opened
  }

  /** Undefined where checksums do not help: the blob is verified already, or has none. */
  const openChecked = async (digest: Digest): Promise<Content | undefined> => {
    const file = await sound.open(digest)
    if (file === undefined) return undefined
    const content = await checked(digest, file)
    if (content === undefined) await file.close()
    return content
  }

  const checked = async (digest: Digest, file: FileHandle): Promise<Content | undefined> => {
    const { size } = await file.stat()
    const checksums = sound.trusted(digest, file) ? undefined : await readChecksums(root, digest)
    if (checksums === undefined) return undefined
    if (checksums.size !== size) return sound.report(digest, wrongSize, file)
    use(digest, file, size)
    return createCheckedContent({
      digest,
      file,
      checksums,
      onCorrupt: async () => {
        await sound.report(digest, wrongBlock, file)
        return corrupt(digest)
      },
      onClosed: pin(digest),
    })
  }

  /** The size that is known without reading the blob; `findUnknownVariables` where that takes a verification. */
  const knownSize = async (digest: Digest): Promise<number | 'unknown' | undefined> => {
    const file = await sound.open(digest)
    if (file === undefined) return undefined
    try {
      const { size } = await file.stat()
      if (trustsSizes || sound.trusted(digest, file)) return size
      const checksums = await readChecksums(root, digest)
      if (checksums === undefined) return 'unknown'
      return checksums.size === size ? size : await sound.report(digest, wrongSize, file)
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
      const isRight = await (opened.settled ?? true)
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
      const { settled } = opened
      const mayWait = !ranged && opened.size > heldBack && !doubted.has(digest)
      if (settled === undefined || mayWait || (await settled)) return reader
      reader.close()
      return undefined
    },

    read: async (digest, limit) => {
      const file = await sound.open(digest)
      if (file === undefined) return undefined
      try {
        const { size } = await file.stat()
        if (size > limit) return undefined
        const bytes = await file.readFile().catch(nothingIfBroken)
        if (bytes === undefined || digestOf(bytes, algorithmOf(digest)) !== digest)
          return await sound.report(digest, wrongBytes, file)
        use(digest, file, size)
        return bytes
      } finally {
        await file.close()
      }
    },

    trust: sound.trust,
    doubt,

    verify: async (digest, pace) => {
      const file = await sound.open(digest)
      if (file === undefined) return
      const unpin = pin(digest)
      try {
        const stamp = await hash(digest, file, pace)
        if (stamp === undefined) await sound.report(digest, wrongBytes, file)
        else sound.trust(digest, stamp, file)
      } finally {
        await file.close()
        unpin()
      }
    },

    close: async () => {
      await Promise.all([...inUse.values()].map(({ settled }) => settled))
    },
  }
}

function corrupt(digest: Digest): RegistryError {
  return new RegistryError('UNKNOWN', {
    message: `${digest} was corrupt on disk and has been removed; retry`,
  })
}
