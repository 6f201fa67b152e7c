import { rm } from 'node:fs/promises'
import { bytesIn, type Chunks } from '../../memory/memory.ts'
import { algorithmOf, createDigester, type Digest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { isUnchanged, type Stamp } from '../../oci/file-stamp.ts'
import type { BlobWriter } from '../blob-store.ts'
import { createBlockChecksummer } from '../block-checksums.ts'
import { minChecksummed } from '../checksum-file.ts'
import { createFileStatus } from '../file-status.ts'
import { writeAll } from '../files.ts'
import type { HashTurns } from '../hash-turns.ts'
import { createSharedContent } from '../shared-content.ts'
import { blobOverhead, type Place, placeBlob } from './place-blob.ts'
import type { Unpin } from './stored-blobs.ts'

type WriterOptions = Place & {
  readonly digest: Digest
  /** Bytes, if known. */
  readonly size: number | undefined
  readonly hashTurn: HashTurns
  /** The blob was committed, with this stamp. */
  readonly onCommit: (stamp: Stamp) => void
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
  const { digest, size, hashTurn, temporary, budget, onCommit, onFailure, onSuspect } = options
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

  const status = createFileStatus(handle)
  const content = createSharedContent({
    digest,
    size,
    file: handle,
    assertUnchanged: async () => {
      if (stamp === undefined || isUnchanged(await status(), stamp)) return
      onSuspect()
      throw new RegistryError('UNKNOWN', {
        message: `${digest} was changed on disk while it was read`,
      })
    },
    stamp: () => stamp,
    onReadFailure: onSuspect,
    onClosed: () => {
      reservation.release()
      unpin()
    },
  })

  const publish = async (): Promise<void> => {
    const verified = { digest, size: digester.size, path, handle, checksummer, reservation }
    const placed = await placeBlob(options, verified)
    stamp = placed.stamp
    unpin = placed.unpin
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
      await hashTurn(bytes)
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
