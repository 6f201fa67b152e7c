import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../telemetry/telemetry.ts'
import type { Collector } from './collector.ts'
import type { End } from './step.ts'

/** Times in milliseconds. */
type ScheduleOptions = {
  readonly collector: Collector
  /** Whether blobs are collected; retention has its own rules. */
  readonly enabled: boolean
  readonly interval: number
  readonly retention: {
    readonly interval: number
    readonly dryRun: boolean
    readonly rules: readonly unknown[]
  }
  readonly log: Logger
}

/** Milliseconds between two looks for work. */
const maxPause = 10_000
/** Milliseconds until the grace period of a blob begins that is not referenced any more. */
const maxReviewInterval = 300_000

/** Runs collections and retention at their intervals, until it is closed. */
export function startSchedule(options: ScheduleOptions): { close(): Promise<void> } {
  const { collector, enabled, interval, retention, log } = options
  const stop = new AbortController()
  const { signal } = stop
  const collection = createTimer(interval)
  const review = createTimer(Math.min(interval, maxReviewInterval))
  const cleaning = createTimer(retention.interval)
  let reported: string | undefined

  /** Once, and not again each interval. */
  const say = (what: string, { outcome, reason }: End): void => {
    const text = outcome === 'done' ? undefined : `${what}: ${reason ?? outcome}`
    if (text !== undefined && text !== reported)
      log.warn({ what, outcome, reason }, 'collection did not run to its end')
    reported = text
  }

  const work = async (): Promise<void> => {
    if (retention.rules.length > 0 && cleaning.isDue())
      say('retention', await collector.retain({ dryRun: retention.dryRun }, () => {}))
    if (!enabled) return
    if (collection.isDue()) say('collection', await collector.collect({}, () => {}))
    else if (review.isDue()) await collector.review()
  }

  const run = async (): Promise<void> => {
    const pause = Math.min(maxPause, interval, retention.interval)
    while (!signal.aborted) {
      await sleep(pause, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      await work().catch((err: unknown) => log.error({ err }, 'collection failed'))
    }
  }
  const running = run()

  return {
    close: async () => {
      stop.abort()
      await running
    },
  }
}

function createTimer(interval: number) {
  let last = performance.now()
  return {
    isDue: (): boolean => {
      if (performance.now() < last + interval) return false
      last = performance.now()
      return true
    },
  }
}
