import type { ProxyMode } from './proxy-mode.ts'

/** The chart's `exposure.mode`. */
export type Exposure = 'nodePort' | 'hostPort' | 'hostNetwork' | 'mirror'

export type Circumstances = {
  /** Whether a registry answers there. */
  readonly loopback: boolean
  readonly node: boolean
  readonly proxyMode: ProxyMode
  readonly routeLocalnet: boolean
  /** The runtime reads `hosts.toml` or the like, so that it can be led elsewhere. */
  readonly canBeLed: boolean
  /** Whether images name the node itself. */
  readonly isLocalhost: boolean
}

/** What to set where images cannot be pulled, and why. */
export function recommend(found: Circumstances): {
  readonly exposure: Exposure | undefined
  readonly why: string
} {
  const { loopback, node, proxyMode, routeLocalnet, canBeLed, isLocalhost } = found
  if (!isLocalhost)
    return {
      exposure: undefined,
      why: 'check its name, and the Service or Ingress that it stands for',
    }
  if (loopback)
    return {
      exposure: undefined,
      why: 'a registry answers on localhost, but the runtime is led elsewhere: run berth trust on this node',
    }
  if (!node && proxyMode === 'iptables' && routeLocalnet)
    return {
      exposure: 'nodePort',
      why: 'no address answers, and kube-proxy of iptables leads 127.0.0.1 to NodePorts here: is Berth running, with a NodePort Service?',
    }
  if (!node && proxyMode === 'cilium')
    return {
      exposure: 'nodePort',
      why: 'no address answers, and Cilium leads 127.0.0.1 to NodePorts where it replaces kube-proxy: is Berth running, with a NodePort Service?',
    }
  const reason = reasons[proxyMode]
  if (canBeLed)
    return {
      exposure: 'mirror',
      why: `${reason}; the runtime can be led to the node's own address`,
    }
  return {
    exposure: 'hostNetwork',
    why: `${reason}; the runtime reads no hosts.toml, so that only a listener on the node itself helps (or hostPort, where the portmap plugin is)`,
  }
}

const reasons = {
  iptables:
    '127.0.0.1 does not lead to NodePorts here (--iptables-localhost-nodeports, route_localnet)',
  // KEP-6032; a rule of before stays in force after a restart alone (kubernetes#142183).
  nftables:
    'kube-proxy in nftables mode forwards 127.0.0.1 to NodePorts only from Kubernetes 1.37 on, with the feature gate KubeProxyNFTablesLocalhostNodePorts and --nodeport-addresses=primary,localhost (delete its nftables table, or reboot the node, when they are set on a node that ran without them)',
  ipvs: 'kube-proxy of IPVS does not lead 127.0.0.1 to NodePorts',
  cilium: 'Cilium does not lead 127.0.0.1 to NodePorts here',
  unknown: '127.0.0.1 does not answer, and how the node leads to services cannot be seen',
} as const satisfies Record<ProxyMode, string>
