import { constants } from 'node:os'
import { debuglog } from 'node:util'
import { isRegistryError } from '../../oci/errors.ts'

/** A command was used incorrectly; the message says what it expects. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The user pressed Ctrl-C, or a signal ended the command. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError'
  readonly signal: 'SIGINT' | 'SIGTERM'

  constructor(signal: 'SIGINT' | 'SIGTERM' = 'SIGINT') {
    super(`ended by ${signal}`)
    this.signal = signal
  }
}

const debug = debuglog('berth')
const userErrors = [
  'ArchiveError',
  'ConfigError',
  'KubernetesError',
  'ProgramError',
  'ProxyError',
  'StartError',
  'StoreError',
  'TunnelError',
  'UsageError',
]

/**
 * The text for standard error and the exit status of a failed command. The text has no stack trace;
 * NODE_DEBUG=berth prints it.
 */
export function describeFailure(error: unknown): {
  readonly text: string
  readonly status: number
} {
  debug('%o', error)
  if (error instanceof InterruptedError)
    return { text: '', status: 128 + constants.signals[error.signal] }
  return { text: `berth: ${describe(error)}\n`, status: 1 }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `unexpected error: ${String(error)}`
  const isExpected = userErrors.includes(error.name) || isRegistryError(error) || 'syscall' in error
  return isExpected
    ? error.message
    : `unexpected error: ${error.message} (NODE_DEBUG=berth prints the stack trace)`
}

/** After a pager has quit, for example. Without a listener, Node would print a stack trace. */
export function exitWhenOutputFails(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(128 + constants.signals.SIGPIPE)
    process.stderr.write(`berth: cannot write to standard output: ${error.message}\n`)
    process.exit(1)
  })
  process.stderr.on('error', () => {})
}
