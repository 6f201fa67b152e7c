import { type LookupAddress, lookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import ipaddr from 'ipaddr.js'

/**
 * An address of the public internet: not loopback, private, link-local (metadata servers),
 * multicast or reserved.
 */
export function isPublicAddress(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'unicast'
}

/**
 * A name lookup that knows public addresses only. The check stands here, on what will be connected
 * to, because a name that was public a moment ago may point inwards now (DNS rebinding).
 */
export const lookupPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
    if (error) return callback(error, '', 0)
    const allowed = addresses.filter(({ address }) => isPublicAddress(address))
    const [first] = allowed
    if (first === undefined) return callback(new Error(`${hostname} has no public address`), '', 0)
    if (options.all) return callback(null, allowed, first.family)
    callback(null, first.address, first.family)
  })
}
