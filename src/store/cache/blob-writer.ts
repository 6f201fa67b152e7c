import { fstatSync } from 'node:fs'
import { lstat, rename, rm } from 'node:fs/promises'
import { bytesIn, type Chunks } from '../../memory/memory.ts'
import { algorithmOf, createDigester, type Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { BlobWriter } from '../blob-store.ts'
import { createBlockChecksummer } from '../block-checksums.ts'
import { minChecksummed, writeChecksums } from '../checksum-file.ts'
import { diskUse, errnoOf, makeDirectory, writeAll } from '../files.ts'
import { blobDirectory, blobPath, checksumsPath } from '../paths.ts'
import { createSharedContent } from '../shared-content.ts'
import { hasName, isUnchanged, type Stamp, stampOf } from '../stamp.ts'
import type { Temporary } from '../temporary.ts'
import type { Budget } from './budget.ts'
import type { Unpin } from './stored-blobs.ts'

/** Disk use of a blob in addition to its bytes: partial blocks, checksums, two directories. */
const blobOverhead = 16 * 1024
const maxAttempts = 10

type WriterOptions = {
  readonly root: string
  readonly digest: Digest
  /** Bytes, if known. */
  readonly size: number | undefined
  readonly temporary: Temporary
  readonly budget: Budget
  /** Bytes that the directory of a blob uses. */
  readonly directorySize: number
  /** The blob was committed, with this stamp. */
  readonly onCommit: (stamp: Stamp) => void
  /** The disk failed: bytes cannot be written, or a correct blob cannot be committed. */
  readonly onFailure: (error: unknown) => void
  /** A reader failed to read the blob, or the blob changed after it was committed. */
  readonly onSuspect: () => void
}

/**
 * Writes a blob to disk, so that only verified blobs are visible:
 *
 * 1. Reserve room, and create an own file in the temporary directory.
 * 2. Make room for bytes that arrived; write them, then hash them. Readers may read bytes that are
 *    written and hashed, except the end.
 * 3. Compare size and digest. Only then rename the file into place, write its checksums beside it,
 *    and release the end to readers.
 *
 * A failure removes the temporary file and nothing else. There is no fsync: the first read after a
 * start finds the damage of a power loss. Undefined when there is no room; rejects when the disk
 * fails.
 */
export async function createBlobWriter(options: WriterOptions): Promise<BlobWriter | undefined> {
  const { root, digest, size, temporary, budget, directorySize, onCommit, onFailure, onSuspect } =
    options
  const reservation = await budget.reserve((size ?? 0) + blobOverhead)
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
    assertUnchanged: () => {
      if (stamp === undefined || isUnchanged(handle.fd, stamp)) return
      onSuspect()
      throw new RegistryError('UNKNOWN', {
        message: `${digest} was changed on disk while it was read`,
      })
    },
    onReadFailure: onSuspect,
    onClosed: () => {
      reservation.release()
      unpin()
    },
  })

  /** The eviction of an older copy may remove the directory between the two steps. */
  const renameIntoPlace = async (attempts = maxAttempts): Promise<void> => {
    try {
      await makeDirectory(blobDirectory(root, digest))
      await rename(path, blobPath(root, digest))
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || attempts === 1) throw error
      await renameIntoPlace(attempts - 1)
    }
  }

  /**
   * Returns the bytes that the checksums use on the disk. A blob without checksums is hashed whole
   * after the next start, before a range of it is read.
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
    await renameIntoPlace()
    const used = (await addChecksums()) + diskUse(fstatSync(handle.fd)) + directorySize
    stamp = stampOf(fstatSync(handle.fd, { bigint: true }))
    // The danger: the eviction of an older copy may have removed this one. There is no await
    // between this check and the commit to the budget: an eviction that has not removed it yet sees
    // the commit.
    if (hasName(handle.fd)) {
      reservation.commit(digest, used)
      unpin = budget.pin(digest)
    }
    onCommit(stamp)
  }

  const put = async (chunks: Chunks, bytes: number): Promise<void> => {
    const added = digester.size === 0 ? bytes + blobOverhead : bytes
    if (!(await reservation.arrive(added))) throw new Error('no room is left in the cache')
    await writeAll(handle, chunks, digester.size).catch((error: unknown) => {
      // A late write finds the file closed: this is not a disk failure.
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
