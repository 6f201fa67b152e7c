import { setTimeout as sleep } from 'node:timers/promises'
import { type ObjectAccess, ObjectStoreError } from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

/** Milliseconds until a bucket that denies requests is asked again; doubled each time. */
const firstPause = 1000
const maxPause = 60_000
/** The shortest of the long pauses, while other requests succeed. */
const minLongPause = 10_000

type DenialsOptions = {
  /** The bucket, in messages. */
  readonly name: string
  /** A request that changes nothing. It rejects while the bucket denies others of its kind. */
  readonly probe: (access: ObjectAccess) => Promise<unknown>
  readonly telemetry: Telemetry
  /** Ends when it is aborted, too. */
  readonly pause?: (duration: number, signal: AbortSignal) => Promise<void>
}

/**
 * Whether the bucket denies what Berth does with it, or is missing:
 *
 * 1. A request is denied. A probe finds out whether all are, or only this one: a path may have a policy of its own.
 * 2. If the probe is denied as well, that is logged, once. Further probes follow by themselves, because those who know
 *    the problem send no requests.
 * 3. When a probe is accepted, that is logged, too.
 */
export function createDenials(options: DenialsOptions) {
  const closing = new AbortController()
  const { signal } = closing
  const watches = {
    read: createWatch('read', { ...options, signal }),
    write: createWatch('write', { ...options, signal }),
  } as const satisfies Record<ObjectAccess, unknown>

  return {
    failed: (access: ObjectAccess, error: unknown): void => {
      if (isDenial(error)) watches[access].start()
    },
    succeeded: (access: ObjectAccess): void => watches[access].hurry(),
    /** Why requests are denied; without `access`: any of them. */
    problem: (access?: ObjectAccess): string | undefined =>
      access === undefined
        ? (watches.read.problem() ?? watches.write.problem())
        : watches[access].problem(),
    /** Call it when no request can be sent any more. */
    close: async (): Promise<void> => {
      closing.abort()
      await Promise.all([watches.read.ended(), watches.write.ended()])
    },
  }
}

type WatchOptions = DenialsOptions & { readonly signal: AbortSignal }

function createWatch(access: ObjectAccess, options: WatchOptions) {
  const { name, probe, telemetry, signal, pause = sleepUntil } = options
  let problem: string | undefined
  let watching: Promise<void> | undefined
  let hurry = new AbortController()

  /** As before, if the bucket cannot be reached. */
  const findProblem = async (): Promise<string | undefined> => {
    try {
      await probe(access)
      return undefined
    } catch (error) {
      return isDenial(error) ? error.message : problem
    }
  }

  const set = (next: string | undefined): void => {
    const isChange = (problem === undefined) !== (next === undefined)
    problem = next
    if (!isChange) return
    const fields = { bucket: name, access }
    if (next === undefined) telemetry.log.info(fields, 'the bucket accepts requests again')
    else telemetry.log.warn({ ...fields, reason: next }, 'the bucket denies requests')
  }

  const watch = async (): Promise<void> => {
    for (let duration = firstPause; ; duration = Math.min(2 * duration, maxPause)) {
      const found = await findProblem()
      if (signal.aborted) return
      set(found)
      if (found === undefined) return
      hurry = new AbortController()
      const shortest = duration < minLongPause ? firstPause : minLongPause
      await pause(shortest, signal)
      await pause(duration - shortest, AbortSignal.any([signal, hurry.signal]))
      if (signal.aborted) return
    }
  }

  return {
    start: (): void => {
      if (signal.aborted) return
      watching ??= watch().finally(() => {
        watching = undefined
      })
    },
    /** A request succeeded: the next probe is a second after the last one, or ten if there were many. */
    hurry: () => hurry.abort(),
    problem: () => problem,
    ended: () => watching,
  }
}

async function sleepUntil(duration: number, signal: AbortSignal): Promise<void> {
  if (duration > 0) await sleep(duration, undefined, { ref: false, signal }).catch(() => {})
}

function isDenial(error: unknown): error is ObjectStoreError {
  return error instanceof ObjectStoreError && ['denied', 'gone'].includes(error.failure)
}
