import { nodeFiles, nodeScript, readsNodeFiles } from './node-files.ts'
import { ProgramError, type Run } from './program.ts'

/** The nodes of a cluster of kind, which are containers. */
export type Nodes = {
  readonly controlPlanes: readonly string[]
  readonly workers: readonly string[]
}

type Options = { readonly engine: string; readonly run: Run }

/** Finds the nodes by kind's labels: clusters that somebody else created, and nodes that were added, are found as well. */
export async function findNodes(cluster: string, { engine, run }: Options): Promise<Nodes> {
  const named = async (role: string) => {
    const filters = [
      `label=io.x-k8s.kind.cluster=${cluster}`,
      `label=io.x-k8s.kind.role=${role}`,
    ].flatMap((filter) => ['--filter', filter])
    const names = await run([engine, 'ps', '--all', ...filters, '--format', '{{.Names}}'])
    return names.split('\n').filter(Boolean).toSorted()
  }
  return { controlPlanes: await named('control-plane'), workers: await named('worker') }
}

type NodeOptions = Options & { readonly port: number; readonly server: string }

/**
 * Writes containerd's files on a node, which it reads at each pull, and checks that the node reaches the registry.
 * @throws ProgramError
 */
export async function configureNode(node: string, options: NodeOptions): Promise<void> {
  const { engine, run, port, server } = options
  // A node that was stopped, for example by a restart of the machine.
  await run([engine, 'start', node])
  const script = nodeScript(nodeFiles(port, server))
  const printed = await run([engine, 'exec', '--interactive', node, 'sh'], { input: script })
  if (!readsNodeFiles(printed))
    throw new ProgramError(
      `containerd on ${node} does not read /etc/containerd/certs.d: its configuration has no config_path with this directory. Create the cluster again with \`berth kind up\`, or with the configuration that \`berth kind up --output kind\` prints`,
    )
  await run([engine, 'exec', node, 'curl', '-fsS', '--max-time', '10', `${server}/v2/`])
}
