import type { DestinationStream } from 'pino'
import { createLogger } from './logger.ts'
import { createMetrics } from './metrics.ts'

export { redact } from './redact.ts'

/**
 * Where every line of the log goes. Takes fields first: `log.warn({ digest, err }, 'fill failed')`.
 */
export type Logger = ReturnType<typeof createLogger>['log']

/** All metrics, and the registry that prints them. */
export type Metrics = ReturnType<typeof createMetrics>

/** What every room may use to tell what it does. Owns the output stream of the log. */
export type Telemetry = {
  readonly log: Logger
  readonly metrics: Metrics
  /** Writes what is left of the log, if anybody reads it, and nothing after that. */
  end(): Promise<void>
}

type TelemetryOptions = {
  readonly level: string
  /** Instead of standard output. */
  readonly output?: DestinationStream
}

export function createTelemetry({ level, output }: TelemetryOptions): Telemetry {
  return { ...createLogger({ level, output }), metrics: createMetrics() }
}
