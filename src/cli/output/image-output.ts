import { constants } from 'node:os'
import { InterruptedError } from '../process/errors.ts'

/** Options of all commands about images. */
export type Printing = {
  readonly output: 'text' | 'json'
  readonly quiet?: boolean
}

export function print<Result>(
  { output }: Printing,
  result: Result,
  describe: (result: Result) => string,
): void {
  process.stdout.write(`${output === 'json' ? JSON.stringify(result) : describe(result)}\n`)
}

/** Writes lines about what a command does to standard error; undefined: it is to be quiet. */
export function linesFor({ output, quiet }: Printing): ((line: string) => void) | undefined {
  if (quiet === true || output === 'json') return undefined
  return (line) => void process.stderr.write(`${line}\n`)
}

/**
 * Runs a command that the first SIGINT or SIGTERM aborts, so that what is half written is removed; a second one
 * ends the process at once.
 * @throws InterruptedError in place of what the abort caused.
 */
export async function untilInterrupted<Result>(
  run: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController()
  const { signal } = controller
  for (const name of ['SIGINT', 'SIGTERM'] as const)
    process.once(name, () => {
      process.once(name, () => process.exit(128 + constants.signals[name]))
      controller.abort(new InterruptedError(name))
    })
  try {
    return await run(signal)
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  }
}
