import { type BigIntStats, fstatSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { isUnchanged, type Stamp } from '../oci/file-stamp.ts'
import { createFileStatus, type FileStatus } from './file-status.ts'
import { createSharedContent, type SharedContent } from './shared-content.ts'
import type { Verify } from './verification.ts'
import type { VerifiedFiles } from './verified-files.ts'

const maxSuspects = 10_000

/**
 * A file that current readers of its blob share. `verification`: resolves to whether the
 * verification in flight succeeded.
 */
type OpenBlob = {
  readonly content: SharedContent
  readonly size: number
  readonly verification?: Promise<boolean> | undefined
}

/** `stamp`: the stamp of the verified file. */
type Entry = {
  readonly content: SharedContent
  readonly file: FileHandle
  readonly status: FileStatus
  readonly size: number
  stamp?: Stamp
  verification?: Promise<boolean>
}

/** Blobs that are being read. Concurrent readers share one open file and one verification. */
export interface OpenBlobs {
  /** The caller holds the file, and releases it. */
  open(digest: Digest): Promise<OpenBlob | undefined>
  /** The next reader gets another file. */
  forget(digest: Digest): void
  /** The file may be corrupt: it is verified before the next reader gets any bytes. */
  suspect(digest: Digest): void
  isSuspect(digest: Digest): boolean
  /** Waits for verifications in flight. */
  close(): Promise<void>
}

type OpenBlobsOptions = {
  readonly verified: VerifiedFiles
  readonly verify: Verify
  readonly wrongBytes: string
  /** A blob is about to be read, unless its file was removed meanwhile. */
  readonly use: (digest: Digest, file: FileHandle, size: number) => void
  readonly pin: (digest: Digest) => () => void
}

export function createOpenBlobs(options: OpenBlobsOptions): OpenBlobs {
  const { verified, verify, wrongBytes, use, pin } = options
  const inUse = new Map<Digest, Entry>()
  const suspects = new LRUCache<Digest, true>({ ...limitEntries(maxSuspects) })

  const suspect = (digest: Digest): void => {
    verified.forget(digest)
    suspects.set(digest, true)
  }

  const share = (digest: Digest, file: FileHandle, size: number): Entry => {
    // Only a counted blob can be pinned.
    use(digest, file, size)
    const unpin = pin(digest)
    const status = createFileStatus(file)
    const assertUnchanged = async () => {
      if (opened.stamp !== undefined && isUnchanged(await status(), opened.stamp)) return
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
      stamp: () => opened.stamp,
      onReadFailure: () => suspect(digest),
      onIdle,
      onClosed: unpin,
    })
    const opened: Entry = { content, file, status, size }
    inUse.set(digest, opened)
    return opened
  }

  const verifyWhileRead = async (digest: Digest, opened: Entry): Promise<boolean> => {
    const { content, file, size } = opened
    try {
      const stamp = await verify(digest, file, content.advance)
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

  const isTrusted = async (digest: Digest, { verification, status }: Entry): Promise<boolean> =>
    verification !== undefined || verified.stampOfVerified(digest, await status()) !== undefined

  /** Holds the file that current readers share for one more, unless it has changed. */
  const join = async (digest: Digest, opened: Entry): Promise<boolean> => {
    opened.content.hold()
    const isRight = await isTrusted(digest, opened).catch(() => false)
    if (isRight) use(digest, opened.file, opened.size)
    else opened.content.release()
    return isRight
  }

  const start = (digest: Digest, file: FileHandle, stat: BigIntStats): Entry => {
    const opened = share(digest, file, Number(stat.size))
    const stamp = verified.stampOfVerified(digest, stat)
    if (stamp !== undefined) {
      opened.stamp = stamp
      opened.content.finish(opened.size)
      return opened
    }
    opened.content.hold()
    opened.verification = verifyWhileRead(digest, opened).finally(() => {
      delete opened.verification
      suspects.delete(digest)
      opened.content.release()
    })
    return opened
  }

  return {
    open: async (digest) => {
      let file: FileHandle | undefined
      let changed: Entry | undefined
      // After each wait, another reader may have opened the file.
      for (;;) {
        const other = inUse.get(digest)
        if (other !== undefined && other !== changed) {
          if (await join(digest, other)) {
            await file?.close()
            return other
          }
          changed = other
        } else if (file === undefined) {
          file = await verified.open(digest)
          if (file === undefined) return undefined
        } else {
          const stat = fstatSync(file.fd, { bigint: true })
          if (stat.nlink > 0n) return start(digest, file, stat)
          await file.close()
          return undefined
        }
      }
    },
    forget: (digest) => void inUse.delete(digest),
    suspect,
    isSuspect: (digest) => suspects.has(digest),
    close: async () => {
      await Promise.all([...inUse.values()].map(({ verification }) => verification))
    },
  }
}

export function corrupt(digest: Digest): RegistryError {
  return new RegistryError('UNKNOWN', {
    message: `${digest} was corrupt on disk and has been removed; retry`,
  })
}
