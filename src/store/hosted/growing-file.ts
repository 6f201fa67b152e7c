import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { bytesIn, type Chunks } from '../../memory/memory.ts'
import { type Algorithm, createDigester, type Digester } from '../../oci/digest.ts'
import {
  type BlockChecksummer,
  type BlockChecksums,
  createBlockChecksummer,
} from '../block-checksums.ts'
import { writeAll } from '../files.ts'
import type { HashTurns } from '../hash-turns.ts'
import type { Syncing } from './syncing.ts'

/** Bytes that are read at once to hash them again. */
const readSize = 1024 * 1024
/**
 * Bytes after which the disk starts to write: otherwise the fsync at the end would write everything
 * while the client waits.
 */
const writeBackSize = 128 * 1024 * 1024

/** The digest of the first `digester.size` bytes of a file. */
type Hash = {
  readonly algorithm: Algorithm
  readonly digester: Digester
  readonly checksummer: BlockChecksummer
}

/** A file to which bytes are appended, hashed as they arrive. Calls must not overlap. */
export interface GrowingFile {
  readonly size: number
  append(chunks: Chunks): Promise<void>
  truncate(size: number): Promise<void>
  /** Reads the file from its start if it was written by another process, or for another algorithm. */
  hash(algorithm: Algorithm): Promise<{
    readonly digester: Digester
    readonly checksums: () => BlockChecksums
  }>
  /** Resolves when all bytes are on disk. */
  sync(): Promise<void>
  /** The open file. */
  handle(): Promise<FileHandle>
  /** Releases the open file and the hash until they are used again. */
  rest(): Promise<void>
  /** Closes the file without a sync. */
  close(): Promise<void>
}

type GrowingFileOptions = {
  readonly path: string
  readonly size: number
  readonly algorithm: Algorithm
  readonly syncing: Syncing
  readonly hashTurn: HashTurns
}

/**
 * The danger: the kernel reports a failed write of a page to one fsync only, and then counts the page
 * as written. So the file stays open from the first write to the last sync, and after one failed
 * sync it fails for ever.
 */
export function createGrowingFile(options: GrowingFileOptions): GrowingFile {
  const { path, algorithm, syncing, hashTurn } = options
  let size = options.size
  let opened: Promise<FileHandle> | undefined
  let hash: Hash | undefined = size === 0 ? newHash(algorithm) : undefined
  let unsynced = 0
  let writeBack: Promise<void> | undefined
  let failure: { readonly error: unknown } | undefined

  const assertSound = (): void => {
    if (failure !== undefined) throw failure.error
  }

  const handle = (): Promise<FileHandle> => {
    opened ??= open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o666).catch(
      (error: unknown) => {
        opened = undefined
        throw error
      },
    )
    return opened
  }

  const fail = (error: unknown): void => {
    failure ??= { error }
  }

  const startWriteBack = (file: FileHandle): void => {
    if (writeBack !== undefined || unsynced < writeBackSize) return
    writeBack = syncing
      .tryWriteBack(file)
      ?.catch(fail)
      .finally(() => {
        writeBack = undefined
      })
    if (writeBack !== undefined) unsynced = 0
  }

  const update = (chunks: Chunks): void => {
    for (const chunk of chunks) {
      hash?.digester.update(chunk)
      hash?.checksummer.update(chunk)
    }
  }

  const hashFile = async (wanted: Algorithm): Promise<Hash> => {
    const file = await handle()
    const fresh = newHash(wanted)
    const buffer = Buffer.allocUnsafeSlow(Math.min(readSize, size))
    while (fresh.digester.size < size) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, fresh.digester.size)
      if (bytesRead === 0) throw new Error(`${path} ends after ${fresh.digester.size} bytes`)
      fresh.digester.update(buffer.subarray(0, bytesRead))
      fresh.checksummer.update(buffer.subarray(0, bytesRead))
    }
    return fresh
  }

  const sync = async (): Promise<void> => {
    await writeBack
    assertSound()
    await syncing.file(await handle()).catch((error: unknown) => {
      fail(error)
      throw error
    })
    unsynced = 0
  }

  const close = async (): Promise<void> => {
    await writeBack
    const file = await opened?.catch(() => undefined)
    opened = undefined
    await file?.close()
  }

  return {
    get size() {
      return size
    },
    handle,

    append: async (chunks) => {
      assertSound()
      const file = await handle()
      await hashTurn(bytesIn(chunks))
      const writing = writeAll(file, chunks, size)
      // The disk writes while this thread hashes.
      update(chunks)
      try {
        await writing
      } catch (error) {
        hash = undefined
        await file.truncate(size).catch(fail)
        throw error
      }
      size += bytesIn(chunks)
      unsynced += bytesIn(chunks)
      startWriteBack(file)
    },

    truncate: async (to) => {
      if (to >= size) return
      await (await handle()).truncate(to)
      hash = to === 0 ? newHash(algorithm) : undefined
      size = to
    },

    hash: async (wanted) => {
      const known = hash?.algorithm === wanted && hash.digester.size === size
      const current = known && hash !== undefined ? hash : await hashFile(wanted)
      if (wanted === algorithm) hash = current
      return { digester: current.digester.copy(), checksums: current.checksummer.finish }
    },

    sync,

    rest: async () => {
      await writeBack
      if (opened !== undefined && unsynced > 0) await sync().catch(() => {})
      hash = undefined
      await close()
    },

    close,
  }
}

function newHash(algorithm: Algorithm): Hash {
  return {
    algorithm,
    digester: createDigester(algorithm),
    checksummer: createBlockChecksummer(),
  }
}
