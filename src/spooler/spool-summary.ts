import { listEntries } from './spool-entries.ts'
import { readFailures } from './spool-records.ts'

/** What is in a spool, as its files say it. */
export type SpoolSummary = {
  /** Files that wait, those that are being pushed included. */
  readonly files: number
  /** Of all of them, in bytes. */
  readonly size: number
  readonly oldest?: { readonly file: string; readonly modified: string }
  /** Files in `failed/`. */
  readonly failed: number
  /** The newest of them. */
  readonly failures: readonly {
    readonly file: string
    readonly reason: string
    readonly finishedAt: string
  }[]
}

const maxFailures = 5

/** Needs no spooler that runs. @throws if the directory cannot be read. */
export async function summarizeSpool(root: string): Promise<SpoolSummary> {
  const entries = await listEntries(root)
  const [oldest] = entries.toSorted((a, b) => a.modified - b.modified)
  const { failed, records } = await readFailures(root, maxFailures)
  return {
    files: entries.length,
    size: entries.reduce((sum, { size }) => sum + size, 0),
    ...(oldest !== undefined && {
      oldest: { file: oldest.path, modified: new Date(oldest.modified).toISOString() },
    }),
    failed,
    failures: records.map(({ file, reason = '', finishedAt }) => ({ file, reason, finishedAt })),
  }
}
