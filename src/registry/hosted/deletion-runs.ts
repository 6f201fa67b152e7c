import { LRUCache } from 'lru-cache'
import type { RepositoryName } from '../../oci/reference.ts'
import { createRunId, type RunId } from '../../store/store.ts'

/** Milliseconds from the first deletion of a run until the next run begins: shorter than anything stays in the trash. */
const maxDuration = 10_000
/** Repositories with a run. */
const maxRuns = 1000

type DeletionRun = { readonly run: RunId; readonly removed: Set<string> }

/**
 * The run of a client's deletion; `removed`: its digest, or its tags. With `isJoined`, what is deleted from one
 * repository within a few seconds is one run, because a bucket lists each run to empty its trash. Something that is
 * removed again needs another run, in which the trash has another place for it.
 */
export function createDeletionRuns({
  isJoined,
  now,
}: {
  readonly isJoined: boolean
  readonly now: () => number
}) {
  const runs = new LRUCache<RepositoryName, DeletionRun>({
    max: maxRuns,
    ttl: maxDuration,
    ttlResolution: 0,
    perf: { now },
  })
  return (name: RepositoryName, removed: readonly string[]): RunId => {
    const last = isJoined ? runs.get(name) : undefined
    if (last !== undefined && !removed.some((one) => last.removed.has(one))) {
      for (const one of removed) last.removed.add(one)
      return last.run
    }
    const run = createRunId(now())
    runs.set(name, { run, removed: new Set(removed) })
    return run
  }
}
