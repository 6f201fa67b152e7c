import type { DestinationStream } from 'pino'
import { createLogger, type LogRequest } from './logger.ts'
import { createMetrics } from './metrics.ts'

export type { Count } from './counter.ts'
export type { Observe } from './prepared-histogram.ts'
export { redact } from './redact.ts'

/** The log. Fields come first: `log.warn({ digest, err }, 'fill failed')`. */
export type Logger = ReturnType<typeof createLogger>['log']

/** All metrics, and their exposition. */
export type Metrics = ReturnType<typeof createMetrics>

/** Log and metrics for every room. Owns the output stream of the log. */
export type Telemetry = {
  readonly log: Logger
  readonly logRequest: LogRequest
  readonly metrics: Metrics
  /** Flushes the log and closes it. */
  end(): Promise<void>
}

type TelemetryOptions = {
  readonly level: string
  /** Default: standard output. */
  readonly output?: DestinationStream
  /**
   * Gauges have no value before one is set. For programs other than the server: a zero in one of its gauges
   * would raise an alert.
   */
  readonly withoutZeros?: boolean
}

export function createTelemetry({ level, output, withoutZeros }: TelemetryOptions): Telemetry {
  return { ...createLogger({ level, output }), metrics: createMetrics({ withoutZeros }) }
}
