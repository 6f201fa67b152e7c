import type { Containerd } from './containerd-client.ts'
import { StoreError } from './store-error.ts'
import { socketProblem } from './unix-socket.ts'

export type ContainerdOptions = {
  /** As `ctr` reads them: CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Instead of what the environment says. */
  readonly address?: string | undefined
  readonly namespace?: string | undefined
}

/** containerd's own, k3s's and RKE2's; the last two are where `kubectl debug node/…` mounts the node's files. */
const defaultAddresses = [
  '/run/containerd/containerd.sock',
  '/run/k3s/containerd/containerd.sock',
  '/host/run/containerd/containerd.sock',
  '/host/run/k3s/containerd/containerd.sock',
]

/** In which order name spaces are looked through; others follow. */
const firstNamespaces = ['k8s.io', 'moby', 'default']

export type OpenedContainerd = {
  readonly containerd: Containerd
  readonly namespaces: readonly string[]
}

/** @throws StoreError `absent` if no containerd can be reached; the message says where it was looked for. */
export async function openContainerd(options: ContainerdOptions): Promise<OpenedContainerd> {
  const { environment } = options
  const configured = options.address ?? environment['CONTAINERD_ADDRESS'] ?? ''
  const addresses = configured === '' ? defaultAddresses : [configured.replace(/^unix:\/\//, '')]
  const problems: string[] = []
  for (const address of addresses) {
    const problem = await socketProblem(address)
    if (problem !== undefined) {
      problems.push(`${address}: ${problem}`)
      continue
    }
    // Loaded when it is used: a push of an archive would start a quarter of a second later.
    const { createContainerd } = await import('./containerd-client.ts')
    const containerd = createContainerd(address)
    const only = options.namespace ?? (environment['CONTAINERD_NAMESPACE'] || undefined)
    try {
      const namespaces = only === undefined ? inOrder(await containerd.namespaces()) : [only]
      return { containerd, namespaces }
    } catch (error) {
      containerd.close()
      throw error
    }
  }
  throw new StoreError('absent', `cannot reach containerd: ${problems.join('; ')}`)
}

function inOrder(found: readonly string[]): readonly string[] {
  const rank = (name: string) => firstNamespaces.indexOf(name) + 1 || Infinity
  return found.toSorted((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))
}
