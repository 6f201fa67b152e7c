import { setTimeout as sleep } from 'node:timers/promises'
import { RegistryError } from '../oci/errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { type Ask, DatabaseFailure, startDatabase } from './database/database.ts'
import type { IndexSource } from './index-source.ts'
import { createPendingChanges } from './pending-changes.ts'
import { choosePlaces, type PlacesOptions } from './places.ts'
import type { Index } from './queries.ts'
import { createQuestions } from './questions.ts'
import { readConfigs } from './read-configs.ts'
import { reportIndex } from './report-index.ts'
import { createSession, type Session } from './session.ts'
import { createVerifications } from './verifications.ts'
import type { OnSubject } from './verify-volume.ts'

/** Milliseconds. Another program may write to the volume, although it should not. */
const defaultVerifyInterval = 24 * 3_600_000

type IndexOptions = PlacesOptions & {
  readonly source: IndexSource
  /** Do not start before the first change: there is nothing on the volume. */
  readonly lazy?: boolean
  /**
   * Called for manifests with a subject while the database is made, because another registry may
   * have stored them. A rejection is logged.
   */
  readonly onSubject?: OnSubject
  /** Milliseconds between two comparisons with the volume; default: a day. */
  readonly verifyInterval?: number
  readonly telemetry: Telemetry
}

const notStarted = 'it starts with the first push'
/** Rows that wait for the database, which writes tens of thousands per second: 40 MB. */
const maxPendingRows = 200_000
/** Milliseconds until the next attempt after a failure; doubled with each. */
const firstDelay = 500
/** Another process may have the database until it ends. */
const maxDatabaseDelay = 15_000
const maxVolumeDelay = 300_000
/** Milliseconds after which a failure has nothing to do with the last one. */
const stableAfter = 60_000

/**
 * Opens or makes the database in the background, and keeps it in agreement with the volume until it
 * is closed:
 *
 * 1. Open it. If the last process closed it and the volume has not changed, it answers at once.
 * 2. Compare the whole volume. From then on it is verified.
 * 3. After a failure of any kind, begin anew, without what is damaged.
 */
export function createIndex(options: IndexOptions): Index {
  const { source, onSubject, telemetry } = options
  const { log, metrics } = telemetry
  const stop = new AbortController()
  const { signal } = stop
  let session: Session | undefined
  let problem = notStarted
  const started = Promise.withResolvers<void>()
  if (!options.lazy) started.resolve()
  const pending = createPendingChanges({
    maxRows: maxPendingRows,
    onLoss: () => session?.fail(new DatabaseFailure('unavailable', 'too many changes at once')),
  })
  const verifications = createVerifications()

  const runOnce = async (discard: boolean): Promise<void> => {
    const places = await choosePlaces(options)
    const losses = pending.takeLosses()
    const opening = createSession({
      database: startDatabase(places),
      source,
      pending,
      onSubject,
      verifications,
      verifyInterval: options.verifyInterval ?? defaultVerifyInterval,
      hasLosses: losses.changes,
      cause: discard ? problem : undefined,
      telemetry,
    })
    session = opening
    try {
      await opening.run({ discard, pullsLost: losses.pulls, signal })
    } finally {
      session = undefined
      if (signal.aborted) await opening.close()
      await opening.end()
    }
  }

  const run = async (): Promise<void> => {
    await started.promise
    if (!signal.aborted) problem = 'it is being opened'
    let discard = false
    let delay = firstDelay
    while (!signal.aborted) {
      const start = performance.now()
      try {
        await runOnce(discard)
      } catch (error) {
        if (signal.aborted) return
        pending.pause()
        verifications.fail(error)
        const isOfDatabase = error instanceof DatabaseFailure
        const kind = isOfDatabase ? error.kind : 'volume'
        if (performance.now() - start > stableAfter) delay = firstDelay
        problem = messageOf(error)
        metrics.indexFailures.inc({ kind })
        log.warn({ err: error, index: kind, retry: delay }, 'the index cannot be used')
        // What was made just now is damaged for a reason that persists.
        const isFirst = !discard && (kind === 'damaged' || kind === 'deleted')
        await sleep(isFirst ? 0 : delay, undefined, { signal }).catch(() => {})
        delay = Math.min(2 * delay, isOfDatabase ? maxDatabaseDelay : maxVolumeDelay)
        discard = kind === 'damaged' || kind === 'deleted'
      }
    }
  }

  const currentProblem = (): string | undefined =>
    session === undefined ? problem : session.problem()

  const ask: Ask = async (operation, ...args) => {
    // An estimate is enough for a quota.
    const isEstimate = operation === 'bytes' && session?.canEstimate() === true
    const why = isEstimate ? undefined : currentProblem()
    if (session === undefined || why !== undefined) throw unavailable(why ?? problem)
    try {
      return await session.ask(operation, ...args)
    } catch (cause) {
      throw unavailable(messageOf(cause), cause)
    }
  }

  const running = run()
  const isWaiting = () => session === undefined && problem === notStarted
  const report = reportIndex({ problem: currentProblem, isWaiting, ask, telemetry })

  return {
    ...createQuestions({
      ask,
      readConfigs: (name) => readConfigs({ ask, source, name, signal }),
    }),
    problem: currentProblem,
    unverified: () => currentProblem() ?? session?.unverified(),
    isWaiting,
    apply: (changes) => {
      if (changes.length > 0) started.resolve()
      pending.add(changes)
    },
    verify: () => {
      started.resolve()
      return verifications.request()
    },
    close: async () => {
      report.close()
      problem = 'it is being closed'
      stop.abort()
      started.resolve()
      await running
      verifications.fail(unavailable(problem))
    },
  }
}

function unavailable(problem: string, cause?: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: `the index of hosted repositories cannot answer now: ${problem}`,
    retryAfter: 5,
    ...(cause !== undefined && { cause }),
  })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
