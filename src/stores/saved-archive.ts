import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import {
  ArchiveError,
  type ImageSource,
  type LayerCompression,
  openImageArchive,
} from '../archive/archive.ts'
import { errnoOf, StoreError } from './store-error.ts'

export type ArchiveStream = {
  readonly chunks: AsyncIterable<Buffer>
  /** What is saved, for messages: `app:1.2 of docker`. */
  readonly what: string
  readonly compression?: LayerCompression | undefined
  readonly signal?: AbortSignal | undefined
}

const mebibyte = 1024 * 1024

/**
 * Writes an archive that a store sends to a temporary file, because archives are read by position, and
 * opens it. The file has no name any more when this resolves: nothing is left of it, however we end.
 */
export async function openSavedArchive(stream: ArchiveStream): Promise<ImageSource> {
  const { what, compression, signal } = stream
  const directory = await mkdtemp(join(tmpdir(), 'berth-image-'))
  try {
    const file = join(directory, 'image.tar')
    await save(stream, file)
    return await openImageArchive(file, { ...(compression && { compression }), signal })
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error
    throw new StoreError('failed', `cannot read ${what}: ${error.message}`, error)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

async function save({ chunks, what, signal }: ArchiveStream, path: string): Promise<void> {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600, highWaterMark: mebibyte })
  try {
    await pipeline(chunks, file, { ...(signal && { signal }) })
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof StoreError) throw error
    const why = ['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '')
      ? `no space is left after ${Math.round(file.bytesWritten / mebibyte)} MiB; set TMPDIR to a directory with more space`
      : String(error instanceof Error ? error.message : error)
    throw new StoreError('failed', `cannot copy ${what} to ${tmpdir()}: ${why}`, error)
  }
}
