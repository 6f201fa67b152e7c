import { basename } from 'node:path'
import { inDirectory } from '../input/input.ts'
import { codeOf, parentOf } from './durable-files.ts'
import type { HasWriter } from './open-writers.ts'
import { type Publish, type PublishedImage, RejectedFile, UnfinishedFile } from './publish.ts'
import type { Entry } from './spool-entries.ts'
import type { Job } from './spool-names.ts'

export type Outcome =
  | { readonly kind: 'published'; readonly images: readonly PublishedImage[] }
  | { readonly kind: 'rejected'; readonly reason: string; readonly code?: string | undefined }
  /** `pause`: milliseconds until another attempt makes sense, if the file does not change. */
  | { readonly kind: 'unfinished'; readonly pause: number }
  | { readonly kind: 'retry'; readonly error: unknown }

type Options = {
  readonly root: string
  readonly publish: Publish
  readonly hasWriter: HasWriter
  readonly signal: AbortSignal
  /** Milliseconds, as in the options of a spooler. */
  readonly settle: number
  readonly maxIncomplete: number
  readonly onStart: (entry: Entry) => void
  readonly uptime: () => number
}

const unreadable = ['EACCES', 'EPERM', 'ELOOP', 'EISDIR', 'ENXIO']

/** Tries to do what one file asks for. */
export function createAttempt(options: Options) {
  const { root, publish, hasWriter, signal, settle, maxIncomplete, onStart, uptime } = options

  /** `firstAt`: when the file, as it is, was seen first, by `uptime`. */
  return async (entry: Entry, job: Job, firstAt: number): Promise<Outcome> => {
    if (job.kind === 'invalid') return { kind: 'rejected', reason: job.reason }
    const unfinished = (message: string, limit: number): Outcome => {
      // The time of its last change may be one to come, by another clock.
      const left = firstAt + limit - uptime()
      if (left <= 0) return { kind: 'rejected', reason: message }
      return { kind: 'unfinished', pause: left }
    }
    if (entry.reason !== undefined) return unfinished(entry.reason, maxIncomplete)

    const run = async (path: string): Promise<Outcome> => {
      const writer = entry.kind === 'file' ? await hasWriter(path) : 'unknown'
      if (writer === true) return { kind: 'unfinished', pause: settle }
      onStart(entry)
      try {
        const images = await publish(job, { name: entry.path, path, signal })
        return { kind: 'published', images }
      } catch (error) {
        if (!(error instanceof UnfinishedFile) || signal.aborted) throw error
        return unfinished(error.message, writer === false ? maxIncomplete : 10 * maxIncomplete)
      }
    }
    try {
      // Undefined: a directory on the way is gone, or is a link now.
      return (await inFileOf(root, entry, run)) ?? { kind: 'unfinished', pause: settle }
    } catch (error) {
      if (signal.aborted) return { kind: 'unfinished', pause: settle }
      if (error instanceof RejectedFile)
        return { kind: 'rejected', reason: error.message, code: error.code }
      if (unreadable.includes(codeOf(error)))
        return { kind: 'rejected', reason: `cannot read the file: ${codeOf(error)}` }
      return { kind: 'retry', error }
    }
  }
}

/** Opens the directory of a file, or the layout, while `use` runs. Undefined as with `inDirectory`. */
function inFileOf<Result>(
  root: string,
  { path, kind }: Entry,
  use: (file: string) => Promise<Result>,
): Promise<Result | undefined> {
  if (kind === 'layout') return inDirectory({ root, path }, (layout) => use(layout.at()))
  return inDirectory({ root, path: parentOf(path) }, (parent) => use(parent.at(basename(path))))
}
