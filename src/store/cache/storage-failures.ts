import type { Telemetry } from '../../telemetry/telemetry.ts'
import { isDiskFull } from '../files.ts'

/** Seconds without writes after a failed write. */
const failurePause = 5

/** Failures of the cache's disk. Blobs are passed through uncached for a short time after each. */
export interface StorageFailures {
  /** `attempt` completes "cannot …". */
  report(error: unknown, attempt: string): void
  /** Writes are paused because the last one failed. */
  isPaused(): boolean
  /** A write succeeded. */
  clear(): void
  /** The failure since which no write succeeded, for the readiness probe. */
  problem(): string | undefined
}

type StorageFailuresOptions = {
  readonly directory: string
  readonly telemetry: Telemetry
  readonly onFull: () => void
}

export function createStorageFailures(options: StorageFailuresOptions): StorageFailures {
  const { directory, telemetry, onFull } = options
  let last: { readonly error: unknown; readonly until: number } | undefined

  return {
    report: (error, attempt) => {
      telemetry.metrics.cacheFailures.inc()
      last = { error, until: performance.now() + failurePause * 1000 }
      telemetry.log.error(
        { err: error, attempt, directory },
        `cannot ${attempt} in the cache; blobs are sent to clients but not stored for ${failurePause} s`,
      )
      if (isDiskFull(error)) onFull()
    },
    isPaused: () => last !== undefined && performance.now() < last.until,
    clear: () => {
      last = undefined
    },
    problem: () =>
      last &&
      `cannot write to ${directory}: ${last.error instanceof Error ? last.error.message : ''}`,
  }
}
