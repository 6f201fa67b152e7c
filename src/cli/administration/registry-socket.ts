import { findPipeSockets, type pipeSocket, type querySocket } from '../../pipe/pipe.ts'
import { UsageError } from '../process/errors.ts'

/** @throws UsageError: no registry of this user runs here, or several do. */
export async function socketOfRegistry(
  name: typeof pipeSocket | typeof querySocket,
): Promise<string> {
  const [path, ...others] = await findPipeSockets(name)
  if (path === undefined)
    throw new UsageError(
      'no registry of this user runs here, or it is older than this command: run it in the container and as the user of berth serve',
    )
  if (others.length > 0)
    throw new UsageError(
      `several registries run here: choose one with --socket: ${[path, ...others].join(', ')}`,
    )
  return path
}
