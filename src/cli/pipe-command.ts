import { Command } from 'commander'
import { findPipeSockets, relay } from '../pipe/pipe.ts'
import { UsageError } from './errors.ts'

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
      await relay(socket ?? (await onlySocket()), {
        input: process.stdin,
        output: process.stdout,
      })
      // Standard input would keep the process.
      process.exit()
    })
}

async function onlySocket(): Promise<string> {
  const [path, ...others] = await findPipeSockets()
  if (path === undefined)
    throw new UsageError(
      'no registry of this user runs here, or it is older than berth pipe: run it in the container and as the user of berth serve',
    )
  if (others.length > 0)
    throw new UsageError(
      `several registries run here: choose one with --socket: ${[path, ...others].join(', ')}`,
    )
  return path
}
