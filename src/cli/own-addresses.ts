import { networkInterfaces } from 'node:os'

/** Interfaces of pods and bridges have addresses that are not the node's. */
const others = /^(cni|docker|veth|cali|flannel|br-|kube|cilium|lxc|virbr|tunl|vxlan|nodelocaldns)/
const maxAddresses = 4

/** The node's own addresses, as far as its interfaces show them. */
export function ownAddresses(): readonly string[] {
  const found = Object.entries(networkInterfaces()).flatMap(([name, all = []]) =>
    others.test(name)
      ? []
      : all
          .filter(({ internal, address }) => !internal && !/^fe80:/i.test(address))
          .map(({ address }) => address),
  )
  return found.slice(0, maxAddresses)
}
