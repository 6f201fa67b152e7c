import { rm } from 'node:fs/promises'
import { bytesIn } from '../../memory/memory.ts'
import {
  type Algorithm,
  algorithmOf,
  createDigester,
  type Digest,
  type Digester,
} from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import type { Stamp } from '../../oci/file-stamp.ts'
import type { CachedUpload } from '../blob-store.ts'
import { type BlockChecksummer, createBlockChecksummer } from '../block-checksums.ts'
import { errnoOf, isDiskFull, openRegular, readOrEnd, writeAll } from '../files.ts'
import type { HashTurns } from '../hash-turns.ts'
import { createSharedContent, type SharedContent } from '../shared-content.ts'
import { blobOverhead, type Place, placeBlob } from './place-blob.ts'

type CachedUploadOptions = Place & {
  readonly algorithm: Algorithm
  readonly hashTurn: HashTurns
  readonly onCommit: (digest: Digest, stamp: Stamp) => void
}

const bufferSize = 256 * 1024

/**
 * An upload in a temporary file, which becomes a blob of the cache by a rename. Undefined when there is no
 * room; rejects when the disk fails.
 */
export async function createCachedUpload(
  options: CachedUploadOptions,
): Promise<CachedUpload | undefined> {
  const { algorithm, hashTurn, temporary, budget, onCommit, onFailure } = options
  const reservation = await budget.reserve(blobOverhead)
  if (reservation === undefined) return undefined
  const { path, handle } = await temporary.create().catch((error: unknown) => {
    reservation.release()
    throw error
  })
  const readers = new Set<SharedContent>()
  let current = algorithm
  let verified: Digest | undefined
  let digester: Digester = createDigester(algorithm)
  let checksummer: BlockChecksummer = createBlockChecksummer()

  const hash = (chunk: Buffer): void => {
    digester.update(chunk)
    checksummer.update(chunk)
  }

  const endReaders = (end: (content: SharedContent) => void): void => {
    for (const content of readers) {
      end(content)
      content.release()
    }
    readers.clear()
  }

  const close = async (): Promise<void> => {
    reservation.release()
    await handle.close().catch(() => {})
  }

  /** A hash cannot go back: what remains is hashed again. */
  const hashAgain = async (size: number, as: Algorithm): Promise<void> => {
    current = as
    digester = createDigester(as)
    checksummer = createBlockChecksummer()
    const buffer = Buffer.allocUnsafe(bufferSize)
    while (digester.size < size) {
      const read = await readOrEnd(handle, buffer, digester.size)
      if (read === 0) throw new Error('the bytes of an upload cannot be read any more')
      hash(buffer.subarray(0, Math.min(read, size - digester.size)))
    }
  }

  const digestAs = async (wanted: Algorithm): Promise<Digest> => {
    if (wanted !== current) await hashAgain(digester.size, wanted)
    return digester.copy().digest()
  }

  return {
    get algorithm() {
      return current
    },
    get size() {
      return digester.size
    },

    append: async (chunks) => {
      verified = undefined
      const bytes = bytesIn(chunks)
      const added = digester.size === 0 ? bytes + blobOverhead : bytes
      if (!(await reservation.arrive(added))) throw noRoom(digester.size + bytes)
      await writeAll(handle, chunks, digester.size).catch((error: unknown) => {
        onFailure(error)
        throw diskFailed(error)
      })
      reservation.markWritten(bytes)
      await hashTurn(bytes)
      for (const chunk of chunks) hash(chunk)
      for (const content of readers) content.advance(digester.size)
    },

    truncate: async (size) => {
      if (size >= digester.size) return
      verified = undefined
      endReaders((content) => content.fail(new RegistryError('BLOB_UPLOAD_INVALID')))
      await handle.truncate(size)
      await hashAgain(size, current)
    },

    read: async ({ digest, size }) => {
      const file = await openRegular(path)
      if (typeof file === 'string') throw new Error('the file of an upload was removed')
      const content = createSharedContent({ digest, size, file })
      readers.add(content)
      content.advance(digester.size)
      if (verified === digest) content.finish(digester.size)
      return content.read()
    },

    verify: async (digest) => {
      if ((await digestAs(algorithmOf(digest))) !== digest) {
        const error = mismatch(digest)
        endReaders((content) => content.fail(error))
        throw error
      }
      verified = digest
      for (const content of readers) content.finish(digester.size)
    },

    commit: async (digest) => {
      endReaders((content) => content.finish(digester.size))
      try {
        const verified = { digest, size: digester.size, path, handle, checksummer, reservation }
        const { stamp, unpin } = await placeBlob(options, verified)
        onCommit(digest, stamp)
        unpin()
      } catch (error) {
        onFailure(error)
        await rm(path, { force: true }).catch(onFailure)
      }
      await close()
    },

    discard: async (error) => {
      endReaders((content) => content.fail(error))
      await rm(path, { force: true }).catch(onFailure)
      await close()
    },
  }
}

function mismatch(digest: Digest): RegistryError {
  return new RegistryError('DIGEST_INVALID', {
    message: `the uploaded bytes are not those of ${digest}`,
  })
}

function diskFailed(cause: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `cannot write an upload to the cache (${errnoOf(cause)})`,
    status: isDiskFull(cause) ? 507 : 503,
    retryAfter: 5,
    cause,
  })
}

function noRoom(bytes: number): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `the cache has no room for an upload of ${bytes} bytes or more, which waits there until its upstream has it`,
    advice: 'raise storage.cache.maxSize, or free disk space',
    status: 507,
  })
}
