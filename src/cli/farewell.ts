import { constants } from 'node:os'

/**
 * Writes what is to be said, and ends: exchanges that were given up, and connections that are kept for
 * others to come, would hold the process until they time out.
 */
export function endWith(
  stream: NodeJS.WritableStream,
  text: string,
  status: number,
): Promise<never> {
  return new Promise(() => stream.write(text, () => process.exit(status)))
}

/** An error for people: a sentence where it has one, never a stack. */
export function sentenceOf(error: unknown): string {
  return `berth: ${error instanceof Error ? error.message : String(error)}\n`
}

/**
 * Has signals end us by way of `exit`, with the status that shells give them: programs that we run are
 * in groups of their own, and end with us only so.
 */
export function exitOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => process.exit(128 + constants.signals[signal]))
}
