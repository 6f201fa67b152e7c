import type { ProxyMode } from './proxy-mode.ts'

/** The chart's `exposure.mode`. */
export type Exposure = 'nodePort' | 'hostPort' | 'hostNetwork' | 'mirror'

export type NodeState = {
  /** A registry answers on an address of localhost. */
  readonly localhostAnswers: boolean
  /** A registry answers on an address of the node. */
  readonly nodeAnswers: boolean
  readonly proxyMode: ProxyMode
  readonly routeLocalnet: boolean
  /** The runtime reads `hosts.toml` or an equivalent, so `berth trust` can redirect it. */
  readonly readsHostFiles: boolean
  /** The registry's name in image references is localhost. */
  readonly isLocalhost: boolean
}

/** The exposure with which images can be pulled, and the reason. */
export function recommend(state: NodeState): {
  readonly exposure: Exposure | undefined
  readonly reason: string
} {
  const { localhostAnswers, nodeAnswers, proxyMode, routeLocalnet, readsHostFiles } = state
  if (!state.isLocalhost)
    return {
      exposure: undefined,
      reason: 'check the host name, and the Service or Ingress behind it',
    }
  if (localhostAnswers)
    return {
      exposure: undefined,
      reason:
        'a registry answers on localhost, but the runtime is configured to use another address: run berth trust on this node',
    }
  if (!nodeAnswers && proxyMode === 'iptables' && routeLocalnet)
    return {
      exposure: 'nodePort',
      reason:
        'kube-proxy in iptables mode forwards 127.0.0.1 to NodePorts here, but no address answers: check that Berth runs and has a NodePort Service',
    }
  if (!nodeAnswers && proxyMode === 'cilium')
    return {
      exposure: 'nodePort',
      reason:
        'Cilium forwards 127.0.0.1 to NodePorts if it replaces kube-proxy, but no address answers: check that Berth runs and has a NodePort Service',
    }
  const cause = causes[proxyMode]
  if (readsHostFiles)
    return { exposure: 'mirror', reason: `${cause}; the runtime can use the node's own address` }
  return {
    exposure: 'hostNetwork',
    reason: `${cause}; the runtime reads no hosts.toml, so Berth must listen on the node itself (or hostPort, if the CNI has the portmap plugin)`,
  }
}

const causes = {
  iptables:
    '127.0.0.1 is not forwarded to NodePorts here (kube-proxy --iptables-localhost-nodeports, sysctl route_localnet)',
  // KEP-6032; a rule from before stays in force after a restart alone (kubernetes#142183).
  nftables:
    'kube-proxy in nftables mode forwards 127.0.0.1 to NodePorts only from Kubernetes 1.37 on, with the feature gate KubeProxyNFTablesLocalhostNodePorts and --nodeport-addresses=primary,localhost (after enabling them on a running node, delete its nftables table or reboot it)',
  ipvs: 'kube-proxy in IPVS mode does not forward 127.0.0.1 to NodePorts',
  cilium: 'Cilium does not forward 127.0.0.1 to NodePorts here',
  unknown: '127.0.0.1 does not answer, and what forwards connections to Services is unknown',
} as const satisfies Record<ProxyMode, string>
