import { networkInterfaces } from 'node:os'

/** `::` includes the IPv4 addresses, but needs a kernel with IPv6. */
export function allAddresses(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((found) => found ?? [])
  return addresses.some(({ family }) => family === 'IPv6') ? '::' : '0.0.0.0'
}
