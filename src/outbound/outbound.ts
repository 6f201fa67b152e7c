import { type Authorities, type AuthoritySources, createAuthorities } from './authorities.ts'
import { type Connections, type ConnectOptions, openConnections } from './dispatcher.ts'
import { createProxies, type ForwardProxy } from './proxies.ts'
import type { OutboundTunnel } from './through-tunnel.ts'

export { ForbiddenAddress, isPrivateAddress, isPublicAddress } from './addresses.ts'
export { type Breaker, createBreaker } from './breaker.ts'
export { type Connected, watchConnections } from './connections.ts'
export { withDeadline } from './deadline.ts'
export type { Connections } from './dispatcher.ts'
export { adviceForTls, describeFault, type Fault } from './faults.ts'
export type { ForwardProxy } from './proxies.ts'
export { requestWhole } from './request.ts'
export type { OutboundTunnel } from './through-tunnel.ts'

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
  /** One host that is reached through a tunnel. */
  readonly tunnel?: OutboundTunnel | undefined
}

/** @throws ProxyError naming the variable whose value is not a proxy address. */
export function createOutbound({
  proxy = {},
  certificates = {},
  tunnel,
}: OutboundOptions = {}): Outbound {
  const proxies = createProxies(proxy)
  const authorities: Authorities = createAuthorities(certificates)
  return {
    open: (options) => openConnections(options, { proxies, authorities, tunnel }),
    proxyFor: (url) => proxies.for(url)?.host,
  }
}

/**
 * The forward proxies of the environment, for connections that are not HTTP requests of ours.
 * @throws ProxyError
 */
export function createProxyUrls(proxy: ForwardProxy): (url: URL) => URL | undefined {
  return createProxies(proxy).for
}
