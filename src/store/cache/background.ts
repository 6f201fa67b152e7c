import { setTimeout as sleep } from 'node:timers/promises'
import type { Telemetry } from '../../telemetry/telemetry.ts'

/** Work of a cache besides requests. It ends when the cache is closed. */
export interface Background {
  start(work: Promise<void>): void
  /**
   * Logs a failure: a single one must not end a task that has to run as long as the process.
   * Rejects only when the cache is closed.
   */
  attempt(work: Promise<void>): Promise<void>
  /** Waits for the given milliseconds; rejects when the cache is closed. */
  pause(milliseconds: number): Promise<void>
  isStopping(): boolean
  /** Ends pauses, and waits for the work that was started. */
  stop(): Promise<void>
}

export function createBackground({ log }: Pick<Telemetry, 'log'>): Background {
  const stopping = new AbortController()
  const running = new Set<Promise<void>>()

  const attempt = async (work: Promise<void>): Promise<void> => {
    try {
      await work
    } catch (error) {
      if (stopping.signal.aborted) throw error
      log.error({ err: error }, 'background work on the cache failed')
    }
  }

  return {
    start: (work) => {
      const registered = attempt(work).catch(() => {})
      running.add(registered)
      void registered.finally(() => running.delete(registered))
    },
    attempt,
    pause: (milliseconds) =>
      sleep(milliseconds, undefined, { signal: stopping.signal, ref: false }),
    isStopping: () => stopping.signal.aborted,
    stop: async () => {
      stopping.abort()
      await Promise.all(running)
    },
  }
}

/** A call while the work is in flight joins it. */
export function oneAtATime(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined
  return () => {
    running ??= work().finally(() => {
      running = undefined
    })
    return running
  }
}
