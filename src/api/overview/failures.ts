import { isRegistryError } from '../../oci/errors.ts'
import type { Overview } from '../answers.ts'

/** Different failures that are remembered. */
const maxFailures = 100

type Failure = Overview['failures'][number]

type Seen = {
  readonly status: number
  readonly repository: string | undefined
  readonly error: unknown
}

/** The last requests that failed here or at an upstream. */
export interface Failures {
  record(failure: Seen): void
  /** Newest first. */
  list(): readonly Failure[]
}

export function createFailures(now: () => number): Failures {
  const failures = new Map<string, Failure>()
  return {
    record: ({ status, repository, error }) => {
      // The message of a bug is for the log only.
      const { code, message } = isRegistryError(error)
        ? error
        : { code: 'UNKNOWN', message: 'internal error: see the log' }
      const key = [repository, status, code, message].join(' ')
      const times = (failures.get(key)?.times ?? 0) + 1
      failures.delete(key)
      const at = new Date(now()).toISOString()
      failures.set(key, { at, times, name: repository, status, code, message })
      const [oldest] = failures.keys()
      if (failures.size > maxFailures && oldest !== undefined) failures.delete(oldest)
    },
    list: () => [...failures.values()].toReversed(),
  }
}
