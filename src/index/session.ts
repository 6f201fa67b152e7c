import { setInterval } from 'node:timers'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Ask, Database, DatabaseFailure } from './database/database.ts'
import type { IndexSource } from './index-source.ts'
import type { PendingChanges } from './pending-changes.ts'
import type { Verifications } from './verifications.ts'
import { type OnSubject, type Unreadable, verifyVolume } from './verify-volume.ts'

/** One open database, until it fails or is closed. */
export interface Session {
  readonly ask: Ask
  problem(): string | undefined
  unverified(): string | undefined
  /** It was complete before this process, and most of its answers are right. */
  canEstimate(): boolean
  /** Ends `run`, which rejects with it. */
  fail(failure: DatabaseFailure): void
  /** Opens, and verifies as often as requested. Rejects when the database or the volume fails. */
  run(request: RunRequest): Promise<never>
  /** Closes the database in order. */
  close(): Promise<void>
  /** Ends the thread. */
  end(): Promise<void>
}

type RunRequest = {
  readonly discard: boolean
  readonly pullsLost: boolean
  readonly signal: AbortSignal
}

type SessionOptions = {
  readonly database: Database
  readonly source: IndexSource
  readonly pending: PendingChanges
  readonly onSubject: OnSubject | undefined
  readonly verifications: Verifications
  /** Milliseconds between two comparisons that nobody requested. */
  readonly verifyInterval: number
  /** Changes were lost since the database was closed. */
  readonly hasLosses: boolean
  /** Why the last database was deleted. */
  readonly cause: string | undefined
  readonly telemetry: Telemetry
}

/** Milliseconds. A question may wait for a long step of a verification. */
const questionTimeout = 30_000
const maintenanceTimeout = 600_000
const keepAliveInterval = 1000

/** Rest after each millisecond of work, in milliseconds: while the index answers, and until then. */
const quietRest = 2
const urgentRest = 0.5

type State =
  | { readonly kind: 'opening' }
  | { readonly kind: 'incomplete'; readonly text: string; readonly expected: number; blobs: number }
  | { readonly kind: 'complete' }

export function createSession(options: SessionOptions): Session {
  const { database, source, pending, verifications, cause, telemetry } = options
  const trouble = Promise.withResolvers<never>()
  trouble.promise.catch(() => {})
  let state: State = { kind: 'opening' }
  let unverified: string | undefined = 'the volume has not been compared with the index yet'
  let isRebuild = false

  const watched =
    (within: Ask): Ask =>
    async (operation, ...args) => {
      try {
        return await within(operation, ...args)
      } catch (error) {
        trouble.reject(error)
        throw error
      }
    }
  const maintain = watched(database.within(maintenanceTimeout))
  const question = watched(database.within(questionTimeout))

  const ask: Ask = (operation, ...args) => {
    // Changes come first.
    pending.flush()
    return question(operation, ...args)
  }

  const open = async ({ discard, pullsLost }: RunRequest): Promise<void> => {
    const opened = await maintain('open', { discard, pullsLost })
    const isUnchanged =
      opened.fingerprint !== undefined && opened.fingerprint === (await source.fingerprint())
    isRebuild = !opened.isComplete
    state =
      isUnchanged && !options.hasLosses
        ? { kind: 'complete' }
        : {
            kind: 'incomplete',
            text: textOf(isRebuild, cause),
            expected: opened.blobs,
            blobs: 0,
          }
    pending.sendTo((changes) => maintain('apply', changes))
  }

  const verify = async (signal: AbortSignal): Promise<void> => {
    const start = performance.now()
    const before = state
    const unreadable = await verifyVolume({
      ask: maintain,
      source,
      rest: before.kind === 'complete' ? quietRest : urgentRest,
      onSubject: isRebuild ? reportedSubject(options) : undefined,
      onBlobs: (blobs) => {
        if (before.kind === 'incomplete') before.blobs = blobs
      },
      signal,
    })
    state = { kind: 'complete' }
    isRebuild = false
    unverified = reasonOf(unreadable)
    const seconds = (performance.now() - start) / 1000
    telemetry.metrics.indexVerification.set(seconds)
    telemetry.log.info(
      { seconds, ...(unverified && { unverified }) },
      'the index agrees with the volume',
    )
  }

  const nextVerification = async (): Promise<void> => {
    const timer = new AbortController()
    const { signal } = timer
    const pause = sleep(options.verifyInterval, undefined, { signal, ref: false })
    await Promise.race([verifications.next(), pause]).finally(() => timer.abort())
  }

  return {
    ask,
    problem: () => {
      switch (state.kind) {
        case 'opening':
          return 'it is being opened'
        case 'incomplete':
          return `${state.text}: ${progress(state.blobs, state.expected)}`
        case 'complete':
          return undefined
      }
    },
    unverified: () => unverified,
    canEstimate: () => state.kind !== 'opening' && !isRebuild,
    fail: (failure) => trouble.reject(failure),

    run: async (request) => {
      const { signal } = request
      const work = async (): Promise<never> => {
        await open(request)
        for (;;) {
          await verifications.serve(() => verify(signal))
          await nextVerification()
        }
      }
      const timer = setInterval(() => {
        if (state.kind !== 'opening') maintain('keepAlive').catch(() => {})
      }, keepAliveInterval).unref()
      const aborted = new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      })
      try {
        return await Promise.race([work(), trouble.promise, aborted])
      } finally {
        clearInterval(timer)
      }
    },

    close: async () => {
      pending.flush()
      const isComplete = state.kind === 'complete' && !pending.takeLosses().changes
      const fingerprint = isComplete ? await source.fingerprint().catch(() => undefined) : undefined
      await maintain('close', fingerprint).catch(() => {})
    },
    end: () => database.end(),
  }
}

/** Stops at the first failure: the volume may not be writable. */
function reportedSubject({ onSubject, telemetry }: SessionOptions): OnSubject | undefined {
  if (onSubject === undefined) return undefined
  let hasFailed = false
  return async (name, subject, manifest) => {
    if (hasFailed) return
    try {
      await onSubject(name, subject, manifest)
    } catch (err) {
      hasFailed = true
      telemetry.log.warn({ err, repository: name, digest: manifest }, 'cannot store referrers')
    }
  }
}

function textOf(isRebuild: boolean, cause: string | undefined): string {
  const why = cause === undefined ? '' : `, because ${cause}`
  return `${isRebuild ? 'rebuilding' : 'comparing it with the volume'}${why}`
}

function progress(blobs: number, expected: number): string {
  const count = blobs.toLocaleString('en')
  return expected === 0
    ? `${count} blobs so far`
    : `${count} of about ${expected.toLocaleString('en')} blobs`
}

function reasonOf([first, ...others]: readonly Unreadable[]): string | undefined {
  if (first === undefined) return undefined
  const more = others.length > 0 ? ` and ${others.length} other manifests` : ''
  return `cannot read manifest ${first.digest} of ${first.name}${more}, so what they reference is unknown; repair or delete them`
}
