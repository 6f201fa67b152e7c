import { Option } from 'commander'
import { callSocket } from '../../control/control.ts'
import { querySocket } from '../../pipe/pipe.ts'
import { UsageError } from '../process/errors.ts'
import { socketOfRegistry } from './registry-socket.ts'

export const querySocketOption = new Option(
  '--socket <path>',
  'query socket of the registry (default: the only one of this user)',
)

/**
 * Asks the registry that runs here.
 * @throws UsageError: none runs, or it refused.
 */
export async function askRegistryHere(
  action: 'why' | 'status',
  body: object,
  socket: string | undefined,
): Promise<unknown> {
  const path = socket ?? (await socketOfRegistry(querySocket))
  try {
    for await (const line of callSocket(path, { action, body })) return line
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new UsageError(`cannot ask the registry at ${path}: ${message}`, { cause })
  }
  throw new UsageError(`the registry at ${path} closed the connection without an answer`)
}
