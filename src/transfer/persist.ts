import { setTimeout as sleep } from 'node:timers/promises'
import { RegistryError } from '../oci/errors.ts'
import { isTemporary, retryPause, UnconfirmedAnswer } from '../remote/remote.ts'

/** Pause after the first failure, in milliseconds; doubled by each further one, with a jitter of half. */
const firstPause = 500
const maxPause = 30_000
/** Without progress, in milliseconds: longer than a registry takes to restart, or a throttle. */
const defaultPatience = 120_000
/** So many times longer for a step that has got somewhere, and whose successor would begin anew. */
const begunFactor = 5
/** Before the first answer of the registry, and while something else answers: its address may be wrong. */
const firstPatience = 15_000
/** An attempt may take longer than the patience, and deserves another one. */
const minAttempts = 3

/** A step that failed, and is repeated. */
export type Retry = {
  /** Such as `upload sha256:… to …`. */
  readonly attempt: string
  readonly error: RegistryError
  /** Milliseconds. */
  readonly pause: number
}

export type PersistOptions = {
  /** Milliseconds without progress after which a step fails; default: 2 minutes. */
  readonly patience?: number | undefined
  readonly onRetry?: ((retry: Retry) => void) | undefined
}

type Step<Result> = {
  readonly attempt: string
  readonly run: () => Promise<Result>
  /** Grows while failing attempts come further. */
  readonly progress?: () => number
  readonly signal: AbortSignal
  /** In milliseconds, if less than for other steps. */
  readonly maxPatience?: number
}

/** Repeats steps of one transfer as long as that is of use. */
export interface Persistence {
  /**
   * Errors of the registry name the attempt. Temporary ones are thrown after a time without progress;
   * a Retry-After is waited out if it ends before.
   */
  persist<Result>(step: Step<Result>): Promise<Result>
}

export function createPersistence({
  patience = defaultPatience,
  onRetry = () => {},
}: PersistOptions = {}): Persistence {
  let hasAnswered = false

  const limitOf = (reached: number, maxPatience: number, error: RegistryError): number => {
    if (reached > 0) return begunFactor * patience
    const isThere = hasAnswered && !(error instanceof UnconfirmedAnswer)
    return Math.min(patience, maxPatience, isThere ? patience : firstPatience)
  }

  return {
    persist: async (step) => {
      const { attempt, run, progress = () => 0, signal, maxPatience = patience } = step
      let reached = progress()
      let failures = 0
      let failingSince = 0
      for (;;) {
        try {
          const result = await run()
          hasAnswered = true
          return result
        } catch (error) {
          signal.throwIfAborted()
          if (!isTemporary(error)) throw naming(error, `cannot ${attempt}`)
          if (progress() > reached) {
            reached = progress()
            failures = 0
          }
          const now = performance.now()
          if (failures === 0) failingSince = now
          failures += 1
          const limit = limitOf(reached, maxPatience, error)
          const pause = Math.max(backOff(failures), retryPause(error))
          const isLate = failures >= minAttempts && now + pause - failingSince > limit
          if (isLate || pause > limit) throw givenUp(error, attempt, failures)
          onRetry({ attempt, error, pause })
          await sleep(pause, undefined, { signal }).catch(() => {})
          signal.throwIfAborted()
        }
      }
    },
  }
}

function backOff(failures: number): number {
  return Math.min(firstPause * 2 ** (failures - 1), maxPause) * (0.5 + Math.random())
}

function givenUp(error: RegistryError, attempt: string, failures: number): unknown {
  const times = failures === 1 ? 'once' : `${failures} times in a row, without progress`
  return naming(
    error,
    `cannot ${attempt}, failed ${times}`,
    error.advice === undefined
      ? 'push again when the registry can be reached: it gets only what it lacks'
      : undefined,
  )
}

/** The same error, for callers that branch on it. */
function naming(error: unknown, attempt: string, advice?: string): unknown {
  if (!(error instanceof RegistryError)) return error
  const { code, message, status, retryAfter } = error
  return new RegistryError(code, {
    message: `${attempt}: ${message}`,
    advice,
    status,
    ...(retryAfter !== undefined && { retryAfter }),
    cause: error,
  })
}
