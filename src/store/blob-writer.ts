import { fstatSync } from 'node:fs'
import { lstat, rename, rm } from 'node:fs/promises'
import { bytesIn, type Chunks } from '../memory/memory.ts'
import { algorithmOf, createDigester, type Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import type { BlobWriter } from './blob-store.ts'
import { createBlockChecksummer } from './block-checksums.ts'
import type { Budget, Unpin } from './budget.ts'
import { minChecksummed, writeChecksums } from './checksum-file.ts'
import { diskUse, errnoOf, makeDirectory, writeAll } from './files.ts'
import { blobDirectory, blobPath, checksumsPath } from './paths.ts'
import { createSharedContent } from './shared-content.ts'
import { hasName, isUnchanged, type Stamp, stampOf } from './stamp.ts'
import type { Temporary } from './temporary.ts'

/** What a blob may use on the disk beside its bytes: parts of blocks, checksums, two directories. */
const frame = 16 * 1024
const mostAttempts = 10

type WriterOptions = {
  readonly root: string
  readonly digest: Digest
  /** Bytes, if known. */
  readonly size: number | undefined
  readonly temporary: Temporary
  readonly budget: Budget
  /** Bytes that the directory of a blob uses. */
  readonly directorySize: number
  /** The blob is in its place, with this stamp. */
  readonly onCommit: (stamp: Stamp) => void
  /** The disk failed: what is written cannot go on, or what is right cannot be put in its place. */
  readonly onFailure: (error: unknown) => void
  /** A reader could not read it, or it was changed after it was put in its place. */
  readonly onDoubt: () => void
}

/**
 * The way of a blob onto the disk, so that what is visible is verified:
 *
 * 1. The blob is admitted, and a file of our own created in the temporary directory.
 * 2. Room is made for the bytes that came; they are written, then hashed; readers may have what is
 *    both, but for the end.
 * 3. Size and digest are compared; only then the file gets its name, by rename, its checksums are put
 *    beside it, and readers get the end.
 *
 * Whatever fails removes the temporary file and nothing else. There is no fsync: what a power loss
 * leaves is found out when it is read for the first time after a start. Undefined when there can
 * be no room; rejects when the disk does not work.
 */
export async function createBlobWriter(options: WriterOptions): Promise<BlobWriter | undefined> {
  const { root, digest, size, temporary, budget, directorySize, onCommit, onFailure, onDoubt } =
    options
  const reservation = await budget.reserve((size ?? 0) + frame)
  if (reservation === undefined) return undefined
  const { path, handle } = await temporary.create().catch((error: unknown) => {
    reservation.release()
    throw error
  })
  const digester = createDigester(algorithmOf(digest))
  const checksummer =
    size === undefined || size >= minChecksummed ? createBlockChecksummer() : undefined
  let ended = false
  let stamp: Stamp | undefined
  let unpin: Unpin = () => {}
  let broken = false

  const content = createSharedContent({
    digest,
    size,
    file: handle,
    prove: () => {
      if (stamp === undefined || isUnchanged(handle.fd, stamp)) return
      onDoubt()
      throw new RegistryError('UNKNOWN', {
        message: `${digest} was changed on disk while it was read`,
      })
    },
    onBroken: onDoubt,
    onClosed: () => {
      reservation.release()
      unpin()
    },
  })

  /** The eviction of an older copy may take the directory away between the two steps. */
  const moveIn = async (attempts = mostAttempts): Promise<void> => {
    try {
      await makeDirectory(blobDirectory(root, digest))
      await rename(path, blobPath(root, digest))
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || attempts === 1) throw error
      await moveIn(attempts - 1)
    }
  }

  /**
   * Without them the blob is hashed whole after the next start, before a part of it is read. How much
   * of the disk they use, in bytes.
   */
  const addChecksums = async (): Promise<number> => {
    if (checksummer === undefined || digester.size < minChecksummed) return 0
    const checksums = checksummer.finish()
    await writeChecksums({ root, digest, checksums, temporary: await temporary.path() }).catch(
      onFailure,
    )
    return lstat(checksumsPath(root, digest)).then(diskUse, () => 0)
  }

  const publish = async (): Promise<void> => {
    await handle.chmod(0o444)
    await moveIn()
    const used = (await addChecksums()) + diskUse(fstatSync(handle.fd)) + directorySize
    stamp = stampOf(fstatSync(handle.fd, { bigint: true }))
    // An older copy's eviction may have hit this one. Nothing is awaited between this look and the
    // books: an eviction that has not hit it yet will find it there.
    if (hasName(handle.fd)) {
      reservation.keep(digest, used)
      unpin = budget.pin(digest)
    }
    onCommit(stamp)
  }

  const put = async (chunks: Chunks, bytes: number): Promise<void> => {
    const added = digester.size === 0 ? bytes + frame : bytes
    if (!(await reservation.arrive(added))) throw new Error('no room is left in the cache')
    await writeAll(handle, chunks, digester.size).catch((error: unknown) => {
      // The file is closed under a write that comes late: that is no failure of the disk.
      if (!ended) onFailure(error)
      throw error
    })
  }

  const discard = () => rm(path, { force: true }).catch(onFailure)

  return {
    get written() {
      return digester.size
    },

    isBroken: () => broken,

    write: async (chunks) => {
      const bytes = bytesIn(chunks)
      if (digester.size + bytes > (size ?? Number.POSITIVE_INFINITY)) throw mismatch(digest)
      await put(chunks, bytes).catch((error: unknown) => {
        broken = true
        throw error
      })
      reservation.markWritten(bytes)
      for (const chunk of chunks) {
        digester.update(chunk)
        checksummer?.update(chunk)
      }
      content.advance(digester.size)
    },

    commit: async () => {
      if (digester.size !== (size ?? digester.size) || digester.copy().digest() !== digest)
        throw mismatch(digest)
      try {
        await publish()
      } catch (error) {
        onFailure(error)
        await discard()
      }
      content.finish(digester.size)
      content.release()
    },

    abort: async (error) => {
      ended = true
      content.fail(error)
      await discard()
      content.release()
    },

    handOver: async (rest) => {
      content.handOver(() => rest(digester.copy()))
      await discard()
      content.release()
    },

    read: content.read,
  }
}

function mismatch(digest: Digest): RegistryError {
  return new RegistryError('DIGEST_INVALID', {
    message: `the upstream's bytes are not those of ${digest}`,
    status: 502,
  })
}
