import { constants } from 'node:os'
import { debuglog } from 'node:util'
import { isRegistryError } from '../oci/errors.ts'

/** A command was used in a way that cannot work; the message says what would. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The user pressed Ctrl-C at a prompt. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError'
}

const debug = debuglog('berth')
const withSentence = ['ConfigError', 'ProxyError', 'StartError', 'UsageError']

/**
 * How a failed command ends: a sentence for standard error, never a stack trace, and the exit status.
 * Whoever looks for a fault in Berth itself sets NODE_DEBUG=berth.
 */
export function endOf(error: unknown): { readonly sentence: string; readonly status: number } {
  debug('%o', error)
  if (error instanceof InterruptedError)
    return { sentence: '', status: 128 + constants.signals.SIGINT }
  return { sentence: `berth: ${describe(error)}\n`, status: 1 }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `unexpected error: ${String(error)}`
  const isExpected =
    withSentence.includes(error.name) || isRegistryError(error) || 'syscall' in error
  return isExpected
    ? error.message
    : `unexpected error: ${error.message} (NODE_DEBUG=berth says where)`
}

/** Standard output is gone, as when a pager quits: without a listener, Node would show a stack trace. */
export function exitWhenOutputFails(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(128 + constants.signals.SIGPIPE)
    process.stderr.write(`berth: cannot write to standard output: ${error.message}\n`)
    process.exit(1)
  })
  process.stderr.on('error', () => {})
}
