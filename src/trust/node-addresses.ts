import { networkInterfaces } from 'node:os'

/** Interfaces of pods and bridges, whose addresses are not those of the node. */
const podInterfaces =
  /^(cni|docker|veth|cali|flannel|br-|kube|cilium|lxc|virbr|tunl|vxlan|nodelocaldns)/
const maxAddresses = 4

/** The addresses of the node's network interfaces. */
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
