import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Ask } from './database/database.ts'

type ReportOptions = {
  readonly problem: () => string | undefined
  /** It has not been started, because there is nothing to know. */
  readonly isWaiting: () => boolean
  readonly ask: Ask
  readonly telemetry: Telemetry
}

/** Milliseconds between two counts. */
const interval = 5000

/** Sets the metrics of the index. */
export function reportIndex({ problem, isWaiting, ask, telemetry }: ReportOptions): {
  close(): void
} {
  const { metrics } = telemetry
  let countedAt = Number.NEGATIVE_INFINITY
  let counting = false
  let isClosed = false

  const count = async (): Promise<void> => {
    const { blobs, bytes, manifests, tags, repositories } = await ask('totals')
    metrics.hostedBytes.set(bytes)
    for (const [kind, value] of Object.entries({ blobs, manifests, tags, repositories }))
      metrics.hostedObjects.set({ kind }, value)
    metrics.indexSize.set(await ask('fileSize'))
  }

  metrics.onScrape(() => {
    metrics.indexComplete.set(problem() === undefined || isWaiting() ? 1 : 0)
    const isDue = performance.now() - countedAt > interval
    if (isClosed || counting || !isDue || problem() !== undefined) return
    counting = true
    countedAt = performance.now()
    // The next scrape has the numbers.
    count()
      .catch(() => {})
      .finally(() => {
        counting = false
      })
  })

  return {
    close: () => {
      isClosed = true
    },
  }
}
