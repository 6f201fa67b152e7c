import { constants } from 'node:os'

/**
 * Writes `text` and exits. Requests that timed out, and idle connections that are kept open, would keep
 * the process running until their own timeouts.
 */
export function writeAndExit(
  stream: NodeJS.WritableStream,
  text: string,
  status: number,
): Promise<never> {
  return new Promise(() => stream.write(text, () => process.exit(status)))
}

/** The message of an error without its stack. */
export function formatError(error: unknown): string {
  return `berth: ${error instanceof Error ? error.message : String(error)}\n`
}

/**
 * On a signal, exits through `process.exit`, with the status that shells report. Programs that we start
 * are in process groups of their own: only the `exit` event ends them with us.
 */
export function exitOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => process.exit(128 + constants.signals[signal]))
}
