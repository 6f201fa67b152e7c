import type { DirectoryRules } from './jobs.ts'
import type { Publish } from './publish.ts'
import type { SpoolRecord } from './spool-records.ts'

export type SpoolEvent =
  | { readonly kind: 'started'; readonly path: string; readonly size: number }
  | { readonly kind: 'finished'; readonly record: SpoolRecord }
  | {
      readonly kind: 'retry'
      readonly path: string
      /** Milliseconds. */
      readonly pause: number
      readonly error: unknown
    }
  /** The spool itself cannot be read or written; reported when the problem is another one than before. */
  | { readonly kind: 'broken'; readonly error: unknown }
  /** It can again. */
  | { readonly kind: 'mended' }

type SpoolStatus = {
  /** Files that wait, those that are being pushed included. */
  readonly files: number
  /** Seconds since the content of the oldest of them was written. */
  readonly oldest: number
  readonly active: readonly string[]
  readonly failed: number
  /** Why the spool cannot be read or written, if so. */
  readonly problem: string | undefined
  /** Milliseconds since the last complete scan. */
  readonly sinceScan: number
}

export interface Spooler {
  status(): SpoolStatus
  /** Ends the transfers that run: their files stay, and are pushed after the next start. */
  stop(): Promise<void>
}

export type SpoolerOptions = {
  readonly root: string
  readonly publish: Publish
  /** In front of the repositories of all files. */
  readonly prefix?: string
  /** Only files in these directories at the top are pushed, which are never layouts themselves. Default: all. */
  readonly directories?: DirectoryRules | undefined
  /** Files at a time; large ones use at most half of them. */
  readonly workers: number
  /** Milliseconds without a change until a file counts as complete. */
  readonly settle: number
  /**
   * Milliseconds without a change after which an incomplete archive is rejected; ten times as long if it is
   * unknown whether a process still has it open.
   */
  readonly maxIncomplete?: number
  /** Milliseconds between scans; changes that the kernel reports are seen at once. */
  readonly rescan?: number
  /** Records of files that were pushed: how many, and how long in milliseconds. */
  readonly done: { readonly maxDone: number; readonly maxAge: number }
  /** A directory outside of the spool, where the result of each file is recorded as well. */
  readonly results?: string | undefined
  readonly onEvent: (event: SpoolEvent) => void
  /** For tests: the wall clock, for ages and records, and milliseconds of a clock that is never set, for waits. */
  readonly now?: () => number
  readonly uptime?: () => number
}
