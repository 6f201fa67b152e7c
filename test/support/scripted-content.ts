import { closeSync, fstatSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Content } from '../../src/oci/content.ts'
import { stampOf } from '../../src/oci/file-stamp.ts'
import { blobOf } from './images.ts'

/** A stretch of a content up to `end`, exclusive; of a file, what may follow it. */
export type Part = {
  readonly kind: 'file' | 'bytes'
  readonly end: number
  readonly restEnd?: number
}

export interface ScriptedContent extends Content {
  /** How it was closed: undefined while it is open. */
  closedAs(): 'whole' | 'broken' | undefined
}

type ScriptedOptions = {
  /** Where its file is put. */
  readonly directory: string
  /** Handed out one after the other; else the whole file at once. */
  readonly parts?: readonly Part[]
  /** Awaited before what follows a position is handed out. */
  readonly before?: (position: number) => Promise<void> | void
  /** What the file has, if not the bytes. */
  readonly onDisk?: Buffer
}

/** A content that is handed out in pieces of the test's choice. */
export function scriptedContent(bytes: Buffer, options: ScriptedOptions): ScriptedContent {
  const { directory, parts = [{ kind: 'file', end: bytes.length }], before } = options
  const { digest } = blobOf(bytes)
  const path = join(directory, digest.slice(-12))
  writeFileSync(path, options.onDisk ?? bytes)
  const fd = openSync(path, 'r')
  const stamp = stampOf(fstatSync(fd, { bigint: true }))
  let closed: 'whole' | 'broken' | undefined

  return {
    digest,
    size: bytes.length,
    closedAs: () => closed,
    next: async (position) => {
      await before?.(position)
      const part = parts.find(({ end }) => end > position)
      if (part === undefined) throw new Error(`nothing follows ${position}`)
      if (part.kind === 'bytes') return { kind: 'bytes', bytes: bytes.subarray(position, part.end) }
      const { end, restEnd } = part
      return {
        kind: 'file',
        fd,
        end,
        ...(restEnd !== undefined && { rest: { end: restEnd, stamp } }),
      }
    },
    close: (broken = false) => {
      if (closed === undefined) closeSync(fd)
      closed ??= broken ? 'broken' : 'whole'
    },
  }
}
