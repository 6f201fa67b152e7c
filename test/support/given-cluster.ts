import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { removeDirectory } from './directory.ts'
import { createClient, type Kubernetes } from './kubernetes.ts'

/** A cluster that runs already. */
export type GivenCluster = {
  readonly kubeconfig: string
  /** This machine's address, as pods there reach it: the upstream is here. */
  readonly machine: string
  /** Berth's image, with a tag, as nodes there have it or pull it. */
  readonly image: string
}

/**
 * The cluster to use, from the environment. $KUBECONFIG alone is not enough: a user who has it set
 * for another reason would find tests in that cluster.
 */
export function givenCluster(): GivenCluster | undefined {
  const {
    KUBECONFIG: kubeconfig,
    BERTH_TEST_ADDRESS: machine,
    BERTH_TEST_IMAGE: image,
  } = process.env
  if (kubeconfig === undefined || machine === undefined || image === undefined) return undefined
  return { kubeconfig, machine, image }
}

/** Its first two nodes are used, without a shell on them. */
export async function useCluster({ kubeconfig, machine }: GivenCluster): Promise<Kubernetes> {
  const home = await mkdtemp(join(tmpdir(), 'berth-home-'))
  const client = createClient({ kubeconfig, home })
  const path =
    'jsonpath={range .items[*]}{.metadata.name} {.status.addresses[?(@.type=="InternalIP")].address}{"\\n"}{end}'
  const lines = (await client.kubectl(['get', 'nodes', '-o', path])).trim().split('\n')
  const places = lines.map((line) => {
    const [name = '', address = ''] = line.split(' ')
    return { name, address }
  })
  const [first, second] = places
  if (first === undefined || second === undefined) throw new Error('the cluster has one node only')
  const close = () => removeDirectory(home)
  return { ...client, nodes: [first, second], machine, close }
}
