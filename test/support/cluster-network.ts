import { networkInterfaces } from 'node:os'
import { type Namespaces, startNamespaces } from './namespaces.ts'
import { run } from './programs.ts'
import { until } from './until.ts'

/** Addresses of one cluster, all of them in one 10.N.0.0/16. */
export interface ClusterNetwork {
  /** This machine's, as nodes and pods see it. */
  readonly machine: string
  readonly services: string
  /** The first of the services' addresses, which Kubernetes takes for its API server. */
  readonly apiService: string
  readonly pods: string
  /** The `n`-th node's, from 1 on. */
  node(n: number): string
  podsOf(n: number): string
  /** Gives a node its address, and ways to the pods of the others. */
  connect(n: number, node: Namespaces, all: number): Promise<void>
  close(): Promise<void>
}

/**
 * A bridge in a name space of its own, to which the nodes are connected, and this machine by one
 * device more. All of them are gone as soon as the name space is.
 */
export async function startClusterNetwork(): Promise<ClusterNetwork> {
  const lan = await startNamespaces('ip link add br0 type bridge\nip link set br0 up')
  const end = ['type', 'veth', 'peer', 'machine', 'netns', `${lan.pid}`]
  // Another test may have chosen the same network: only one of them gets the device.
  const second = await until('a network is free', async () => {
    const free = freeNetwork()
    await run(['ip', 'link', 'add', `berth${free}`, ...end])
    return free
  })
  const device = `berth${second}`
  const address = (rest: string) => `10.${second}.${rest}`
  const machine = address('0.254')
  await lan.run(['ip', 'link', 'set', 'machine', 'master', 'br0', 'up'])
  await run(['ip', 'address', 'add', `${machine}/24`, 'dev', device])
  await run(['ip', 'link', 'set', device, 'up'])
  const podsOf = (n: number) => address(`${16 + n}.0/24`)
  const node = (n: number) => address(`0.${n}`)

  return {
    machine,
    services: address('240.0/20'),
    apiService: address('240.1'),
    pods: address('16.0/20'),
    node,
    podsOf,
    connect: async (n, namespaces, all) => {
      const end = `node${n}`
      // What is left of it, if the node was connected before, goes when the kernel has time for it.
      await lan.attempt(['ip', 'link', 'delete', end])
      const ours = ['ip', 'link', 'add', end, 'netns', `${lan.pid}`, 'type', 'veth']
      await run([...ours, 'peer', 'name', 'eth0', 'netns', `${namespaces.pid}`])
      await lan.run(['ip', 'link', 'set', end, 'master', 'br0', 'up'])
      const others = Array.from({ length: all }, (_, at) => at + 1).filter((other) => other !== n)
      const lines = [
        // The same after a reboot: its neighbours remember it.
        `link set eth0 address 02:00:00:00:00:0${n}`,
        `address add ${node(n)}/24 dev eth0`,
        'link set eth0 up',
        `route add default via ${machine}`,
        ...others.map((other) => `route add ${podsOf(other)} via ${node(other)}`),
      ]
      await namespaces.run(['ip', '-batch', '-'], { input: `${lines.join('\n')}\n` })
      await namespaces.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1'])
    },
    close: lan.close,
  }
}

/** The N of a 10.N.0.0/16 that no other test's cluster uses. */
function freeNetwork(): number {
  const taken = Object.values(networkInterfaces())
    .flat()
    .map((one) => one?.address.split('.')[1])
  const free = Array.from({ length: 100 }, (_, at) => 100 + at).filter(
    (n) => !taken.includes(String(n)),
  )
  const chosen = free[Math.floor(Math.random() * free.length)]
  if (chosen === undefined) throw new Error('no network is free for a cluster')
  return chosen
}
