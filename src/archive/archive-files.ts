import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { ArchiveError } from './archive-error.ts'
import type { ReadOptions } from './image-source.ts'
import type { Limits } from './limits.ts'
import { openStableFile, type StableFile } from './stable-file.ts'
import { indexTar, parseEntryName } from './tar-index.ts'

/** The files of an archive, or of a directory, by their names. */
export interface ArchiveFiles {
  /** Bytes; undefined if there is no such file. */
  size(name: string): Promise<number | undefined>
  read(name: string, options?: ReadOptions): AsyncIterable<Buffer>
  /** @throws ArchiveError `changed` if a file changed since it was read first. */
  assertUnchanged(): Promise<void>
  close(): Promise<void>
}

/** Links to links are possible, but not many. */
const maxLinks = 8

export async function openTarFiles(file: StableFile, limits: Limits): Promise<ArchiveFiles> {
  const entries = await indexTar(file, limits)
  const find = (name: string) => {
    let entry = entries.get(name)
    for (let at = 0; entry?.kind === 'link' && at < maxLinks; at += 1)
      entry = entries.get(entry.target)
    return entry?.kind === 'file' ? entry : undefined
  }
  return {
    size: async (name) => find(name)?.size,
    read: (name, { start = 0, signal } = {}) => {
      const entry = find(name)
      if (entry === undefined) throw missing(name)
      const { position, size } = entry
      return file.chunks({ start: position + start, end: position + size, signal })
    },
    assertUnchanged: file.assertUnchanged,
    close: file.close,
  }
}

/** A directory: an OCI layout that is not packed. Links are not followed. */
export function openDirectoryFiles(root: string, limits: Limits): ArchiveFiles {
  const stamps = new Map<string, string>()
  const pathOf = (name: string) => join(root, parseEntryName(name, limits))
  const stamp = async (name: string) => {
    const { size, mtimeMs, ino } = await lstat(pathOf(name))
    return [size, mtimeMs, ino].join(' ')
  }
  return {
    size: async (name) => {
      const stat = await lstat(pathOf(name)).catch(() => undefined)
      if (!stat?.isFile()) return undefined
      if (!stamps.has(name)) stamps.set(name, await stamp(name))
      return stat.size
    },
    async *read(name, { start = 0, signal } = {}) {
      const file = await openStableFile(pathOf(name))
      try {
        yield* file.chunks({ start, end: file.size, signal })
        await file.assertUnchanged()
      } finally {
        await file.close()
      }
    },
    assertUnchanged: async () => {
      for (const [name, before] of stamps)
        if ((await stamp(name).catch(() => '')) !== before)
          throw new ArchiveError('changed', `${name} changed while it was read`)
    },
    close: async () => {},
  }
}

export function missing(name: string): ArchiveError {
  return new ArchiveError('missing', `${name} is missing`)
}

/** A whole small file, such as `index.json`. */
export async function readDocument(
  files: ArchiveFiles,
  name: string,
  limits: Limits,
): Promise<Buffer | undefined> {
  const size = await files.size(name)
  if (size === undefined) return undefined
  if (size > limits.document)
    throw new ArchiveError('too-large', `${name} has more than ${limits.document} bytes`)
  const chunks: Buffer[] = []
  for await (const chunk of files.read(name)) chunks.push(chunk)
  return Buffer.concat(chunks)
}
