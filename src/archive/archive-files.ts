import type { Stats } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { inDirectory } from '../input/input.ts'
import { ArchiveError } from './archive-error.ts'
import type { ReadOptions } from './image-source.ts'
import type { Limits } from './limits.ts'
import { openStableFile, type StableFile } from './stable-file.ts'
import { indexTar, parseEntryName } from './tar-index.ts'

/** The files of an archive, or of a directory, by their names. */
export interface ArchiveFiles {
  /** Bytes; undefined if there is no such file. */
  size(name: string): Promise<number | undefined>
  read(name: string, options?: FileReadOptions): AsyncIterable<Buffer>
  /** @throws ArchiveError `changed` if this file, or by default any, changed since its size was asked first. */
  assertUnchanged(name?: string): Promise<void>
  close(): Promise<void>
}

export type FileReadOptions = ReadOptions & {
  /** Each chunk is valid until the next one is asked for. */
  readonly isTransient?: boolean
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
    read: (name, { start = 0, end, ...how } = {}) => {
      const entry = find(name)
      if (entry === undefined) throw missing(name)
      const { position, size } = entry
      const last = Math.min(end ?? size, size)
      return file.chunks({ ...how, start: position + start, end: position + last })
    },
    assertUnchanged: () => file.assertUnchanged(),
    close: file.close,
  }
}

/** A directory: an OCI layout that is not packed. No link in it is followed. */
export function openDirectoryFiles(root: string, limits: Limits): ArchiveFiles {
  const stamps = new Map<string, string>()

  /** Undefined: its directory is missing, or is a link. */
  const inPlace = async <Result>(name: string, use: (path: string) => Promise<Result>) => {
    const path = parseEntryName(name, limits)
    const parent = path.includes('/') ? dirname(path) : ''
    return inDirectory({ root, path: parent }, (directory) => use(directory.at(basename(path))))
  }
  const statOf = (name: string) => inPlace(name, (path) => lstat(path)).catch(() => undefined)

  return {
    size: async (name) => {
      const stat = await statOf(name)
      if (!stat?.isFile()) return undefined
      if (!stamps.has(name)) stamps.set(name, stampOf(stat))
      return stat.size
    },
    async *read(name, { start = 0, end, ...how } = {}) {
      const file = await inPlace(name, openStableFile)
      if (file === undefined) throw missing(name)
      try {
        yield* file.chunks({ ...how, start, end: Math.min(end ?? file.size, file.size) })
        await file.assertUnchanged()
      } finally {
        await file.close()
      }
    },
    assertUnchanged: async (one) => {
      for (const name of one === undefined ? stamps.keys() : [one]) {
        const now = await statOf(name)
        if (now === undefined || stampOf(now) !== stamps.get(name))
          throw new ArchiveError('changed', `${name} changed while it was read`)
      }
    },
    close: async () => {},
  }
}

function stampOf({ size, mtimeMs, ino }: Stats): string {
  return [size, mtimeMs, ino].join(' ')
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
