import { type FileHandle, statfs } from 'node:fs/promises'
import type { ReadOptions } from './image-source.ts'
import { openUnnamedFile } from './unnamed-file.ts'

/** Of all copies of one archive, in memory. */
const defaultMaxMemory = 16 * 1024 * 1024
/** Of all copies of one archive, in a file. */
const defaultMaxFile = 8 * 1024 * 1024 * 1024
/** Share of the file system that stays free for others. */
const keptFree = 0.1
/** Bytes between two looks at the free space, and of a chunk that is read. */
const lookInterval = 64 * 1024 * 1024
const chunkSize = 256 * 1024

/** Compressed layers, kept until they are sent. */
export interface Copies {
  create(): CopyWriter
  close(): Promise<void>
}

interface CopyWriter {
  write(chunk: Buffer): Promise<void>
  /** Undefined: there was no room, and nothing is kept. */
  end(): Copy | undefined
}

/** The same bytes, as often as they are needed. */
export type Copy = (options?: ReadOptions) => AsyncIterable<Buffer>

type CopiesOptions = {
  /** For the file. */
  readonly directory: string
  readonly maxMemory?: number | undefined
  readonly maxFile?: number | undefined
}

/** Where bytes are: in memory, or in the file. */
type FilePiece = { readonly position: number; readonly length: number }
type Piece = Buffer | FilePiece

/**
 * Copies of small layers are in memory, of others in a temporary file. A directory that cannot be written, or
 * that is nearly full, is no error: there is no copy then.
 */
export function createCopies({
  directory,
  maxMemory = defaultMaxMemory,
  maxFile = defaultMaxFile,
}: CopiesOptions): Copies {
  let inMemory = 0
  let end = 0
  let opening: Promise<FileHandle | undefined> | undefined
  let isUsable = true
  let lookAt = 0

  const fileOf = () => {
    opening ??= openUnnamedFile(directory).catch(() => undefined)
    return opening
  }

  /** False: there is no room. */
  const append = async (bytes: Buffer): Promise<FilePiece | undefined> => {
    const position = end
    end += bytes.length
    if (!isUsable || end > maxFile) return undefined
    if (end > lookAt) {
      lookAt = end + lookInterval
      isUsable = await hasRoom(directory)
    }
    const file = isUsable ? await fileOf() : undefined
    isUsable = file !== undefined && (await writeAll(file, bytes, position))
    return isUsable ? { position, length: bytes.length } : undefined
  }

  async function* read(pieces: readonly Piece[], { start = 0, signal }: ReadOptions = {}) {
    let skip = start
    for (const piece of pieces) {
      signal?.throwIfAborted()
      if (skip >= piece.length) skip -= piece.length
      else {
        if (Buffer.isBuffer(piece)) yield piece.subarray(skip)
        else yield* readPiece(await fileOf(), piece, { start: skip, signal })
        skip = 0
      }
    }
  }

  return {
    create: () => {
      const pieces: Piece[] = []
      let isWhole = true
      return {
        write: async (chunk) => {
          if (!isWhole) return
          if (inMemory + chunk.length <= maxMemory) {
            inMemory += chunk.length
            // The chunk may be a part of a larger buffer.
            pieces.push(Buffer.from(chunk))
            return
          }
          const piece = await append(chunk)
          if (piece !== undefined) return addPiece(pieces, piece)
          isWhole = false
          for (const each of pieces.splice(0)) if (Buffer.isBuffer(each)) inMemory -= each.length
        },
        end: () => (isWhole ? (options) => read(pieces, options) : undefined),
      }
    },
    close: async () => {
      isUsable = false
      const file = await opening
      await file?.close()
    },
  }
}

/** Pieces of the file that follow each other become one. */
function addPiece(pieces: Piece[], piece: FilePiece): void {
  const last = pieces.at(-1)
  const isNext =
    last !== undefined && !Buffer.isBuffer(last) && last.position + last.length === piece.position
  if (isNext) pieces[pieces.length - 1] = { ...last, length: last.length + piece.length }
  else pieces.push(piece)
}

async function hasRoom(directory: string): Promise<boolean> {
  const found = await statfs(directory).catch(() => undefined)
  if (found === undefined) return false
  const { bavail, blocks, bsize } = found
  return bavail * bsize > keptFree * blocks * bsize + lookInterval
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<boolean> {
  try {
    const { bytesWritten } = await file.write(bytes, 0, bytes.length, position)
    return bytesWritten === bytes.length
  } catch {
    return false
  }
}

async function* readPiece(
  file: FileHandle | undefined,
  { position, length }: FilePiece,
  { start = 0, signal }: ReadOptions,
): AsyncGenerator<Buffer> {
  for (let at = start; at < length; at += chunkSize) {
    signal?.throwIfAborted()
    const buffer = Buffer.allocUnsafeSlow(Math.min(chunkSize, length - at))
    const { bytesRead } = (await file?.read(buffer, 0, buffer.length, position + at)) ?? {}
    if (bytesRead !== buffer.length) throw new Error('the temporary copy of a layer is too short')
    yield buffer
  }
}
