import { networkInterfaces } from 'node:os'

/** Interfaces of pods and bridges: their addresses are not the node's. */
const podInterfaces =
  /^(cni|docker|veth|cali|flannel|br-|kube|cilium|lxc|virbr|tunl|vxlan|nodelocaldns)/
const maxAddresses = 4

/** The node's addresses, as its network interfaces show them. */
export function readNodeAddresses(): readonly string[] {
  const found = Object.entries(networkInterfaces()).flatMap(([name, all = []]) =>
    podInterfaces.test(name)
      ? []
      : all
          .filter(({ internal, address }) => !internal && !/^fe80:/i.test(address))
          .map(({ address }) => address),
  )
  return found.slice(0, maxAddresses)
}
