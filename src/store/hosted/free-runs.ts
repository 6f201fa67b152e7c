import type { Trash } from './hosted-store.ts'
import { parseRunId, type RunId, timeOfRun } from './run-id.ts'

type Freed = { readonly bytes: number; readonly entries: number }

type Runs = {
  /** Newest first. */
  readonly runIds: () => Promise<readonly RunId[]>
  readonly freeRun: (run: RunId) => Promise<Freed>
}

/** Frees one run of a trash, or those before a time, oldest first. */
export async function freeRuns(
  what: Parameters<Trash['free']>[0],
  { runIds, freeRun }: Runs,
): Promise<Freed> {
  const runs =
    'run' in what
      ? [parseRunId(what.run)]
      : (await runIds()).filter((run) => timeOfRun(run) < what.before).toReversed()
  let [entries, bytes] = [0, 0]
  for (const run of runs) {
    const freed = await freeRun(run)
    entries += freed.entries
    bytes += freed.bytes
  }
  return { entries, bytes }
}
