import { Command } from 'commander'
import { pipeSocket, relay } from '../../pipe/pipe.ts'
import { UsageError } from '../process/errors.ts'
import { socketOfRegistry } from './registry-socket.ts'

/**
 * `berth pipe`, which `berth connect` and others start in the registry's pod. It does nothing but copy, so that it
 * takes little memory of the registry's: the other end is in the process of `berth serve`.
 */
export function pipeCommand(): Command {
  return new Command('pipe')
    .summary('connect standard input and output to the registry that runs in this container')
    .description(
      'Connect standard input and output to the registry that runs in this container. berth connect and others start it by kubectl exec; it is not meant for terminals.',
    )
    .option('--socket <path>', 'socket of the registry (default: the only one of this user)')
    .action(async ({ socket }: { readonly socket?: string }) => {
      await relay(socket ?? (await socketOfRegistry(pipeSocket))).catch(explain)
      // Standard input would keep the process.
      process.exit()
    })
}

function explain(error: NodeJS.ErrnoException): never {
  if (error.code !== 'ERR_INVALID_FD_TYPE') throw error
  const message =
    'standard input is not a pipe: berth connect starts berth pipe, nobody else needs to'
  throw new UsageError(message, { cause: error })
}
