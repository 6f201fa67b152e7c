import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../../config/config.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'

type ReportOptions = {
  readonly hosted: Config['hosted']
  /** Why nothing can be pushed now; undefined: it can. */
  readonly problem: () => string | undefined
  /** Bytes of different blobs below a prefix. Rejects while they are not known. */
  readonly bytes: (prefix: string) => Promise<{ readonly unique: number }>
  readonly telemetry: Telemetry
}

/** Milliseconds between two measurements of what quotas are used. */
const interval = 15_000

/** Sets the metrics of the hosted volume until it is closed. */
export function reportHosted({ hosted, problem, bytes, telemetry }: ReportOptions) {
  const { metrics } = telemetry
  const stop = new AbortController()
  const quotas = hosted.flatMap(({ prefix, quota }) =>
    quota === undefined ? [] : [{ prefix, quota }],
  )
  metrics.onScrape(() => metrics.hostedWritable.set(problem() === undefined ? 1 : 0))
  for (const { prefix, quota } of quotas) metrics.quotaLimit.set({ prefix }, quota)

  const run = async (): Promise<void> => {
    while (!stop.signal.aborted && quotas.length > 0) {
      for (const { prefix } of quotas) {
        const used = await bytes(prefix).catch(() => undefined)
        if (used !== undefined) metrics.quotaUsed.set({ prefix }, used.unique)
      }
      await sleep(interval, undefined, { signal: stop.signal }).catch(() => {})
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
