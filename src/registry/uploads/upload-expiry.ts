import type { Logger } from '../../telemetry/telemetry.ts'
import type { Uploads } from './uploads.ts'

/** Milliseconds. */
const maxInterval = 60 * 60 * 1000
const minInterval = 1000

type UploadExpiryOptions = {
  /** Why nothing can be written now. */
  readonly problem: () => string | undefined
  readonly uploads: Uploads
  /** Milliseconds since the last write. */
  readonly expiry: number
  readonly now: () => number
  readonly log: Logger
}

/** Cancels abandoned upload sessions: soon after the start, and then from time to time. */
export function createUploadExpiry({ problem, uploads, expiry, now, log }: UploadExpiryOptions) {
  const interval = Math.max(minInterval, Math.min(expiry / 4, maxInterval))
  let running: Promise<void> | undefined

  const purge = async (): Promise<void> => {
    if (problem() !== undefined) return
    try {
      const purged = await uploads.purge(now() - expiry)
      if (purged > 0) log.info({ purged }, 'canceled expired upload sessions')
    } catch (err) {
      log.warn({ err }, 'cannot cancel expired upload sessions')
    }
  }

  const start = (): void => {
    running ??= purge().finally(() => {
      running = undefined
    })
  }

  const timer = setInterval(start, interval).unref()
  const first = setTimeout(start, minInterval).unref()

  return {
    /** Waits for what is under way. */
    close: async (): Promise<void> => {
      clearInterval(timer)
      clearTimeout(first)
      await running
    },
  }
}
