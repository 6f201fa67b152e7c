import { type Authorities, type AuthoritySources, createAuthorities } from './authorities.ts'
import { type Connections, type ConnectOptions, openConnections } from './dispatcher.ts'
import { createProxies, type ForwardProxy } from './proxies.ts'

export { ForbiddenAddress, isPrivateAddress, isPublicAddress } from './addresses.ts'
export { type Connected, watchConnections } from './connections.ts'
export { withDeadline } from './deadline.ts'
export type { Connections } from './dispatcher.ts'
export { describeFault, type Fault } from './faults.ts'
export type { ForwardProxy } from './proxies.ts'
export { requestWhole } from './request.ts'

/**
 * How this process connects to other hosts: through which forward proxy, with which trusted
 * authorities, at which addresses. Every outgoing HTTP request uses connections opened here.
 */
export interface Outbound {
  /** Connections with their own limits and trust; the caller that opens them destroys them. */
  open(options: ConnectOptions): Connections
  /** `host:port` of the forward proxy for `url`, without user and password. */
  proxyFor(url: URL): string | undefined
}

export type OutboundOptions = {
  readonly proxy?: ForwardProxy | undefined
  readonly certificates?: AuthoritySources | undefined
}

/** @throws ProxyError naming the variable whose value is not a proxy address. */
export function createOutbound({ proxy = {}, certificates = {} }: OutboundOptions = {}): Outbound {
  const proxies = createProxies(proxy)
  const authorities: Authorities = createAuthorities(certificates)
  return {
    open: (options) => openConnections(options, { proxies, authorities }),
    proxyFor: (url) => proxies.for(url)?.host,
  }
}
