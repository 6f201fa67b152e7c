import type { SecureContext } from 'node:tls'
import { Agent, buildConnector, type Dispatcher, Pool, ProxyAgent } from 'undici'
import { type AddressPolicy, lookupAllowed } from './addresses.ts'
import type { Authorities, ClientCertificate } from './authorities.ts'
import type { Proxies } from './proxies.ts'
import { leadsThrough, type OutboundTunnel, throughTunnel } from './through-tunnel.ts'

export type ConnectOptions = {
  /** Limit for name lookup, TCP, the proxy's tunnel and TLS, each, in milliseconds. */
  readonly timeout: number
  /** File of PEM certificates that are trusted in addition to the others. */
  readonly certificateAuthorities?: string | undefined
  readonly clientCertificate?: ClientCertificate | undefined
  /** The name in the server's certificate, if it is not the host of the URL. */
  readonly serverName?: string | undefined
  readonly addresses?: AddressPolicy
  /** Bypasses any forward proxy: for services on this machine or in this cluster. */
  readonly direct?: boolean
  /** The only trusted authority, as PEM, instead of all others. */
  readonly onlyAuthority?: string | undefined
}

/** Kept-alive connections to any number of origins. */
export interface Connections {
  readonly dispatcher: Dispatcher
  destroy(): Promise<void>
}

/**
 * Artifact Registry's redirects carry tokens of 2 KB, others' more; Node's own limit of 16 KiB is
 * for all headers together.
 */
const maxHeaderSize = 64 * 1024
/**
 * An idle connection is not reused after this, in milliseconds: servers close theirs after some
 * seconds.
 */
const keepAliveTimeout = 10_000

type Shared = {
  readonly proxies: Proxies
  readonly authorities: Authorities
  readonly tunnel?: OutboundTunnel | undefined
}

export function openConnections(
  options: ConnectOptions,
  { proxies, authorities, tunnel }: Shared,
): Connections {
  const {
    timeout,
    certificateAuthorities,
    clientCertificate,
    onlyAuthority,
    serverName,
    addresses = 'any',
  } = options
  const tls = {
    timeout,
    ...(onlyAuthority !== undefined && { ca: onlyAuthority }),
  }
  const name = serverName === undefined ? {} : { servername: serverName }
  const certificates = { file: certificateAuthorities, clientCertificate }
  const contextOf = onlyAuthority === undefined ? authorities.open(certificates) : () => undefined
  const connectDirectly = withLazyAuthorities(contextOf, (context) =>
    buildConnector({
      ...tls,
      ...name,
      autoSelectFamily: true,
      ...(addresses !== 'any' && { lookup: lookupAllowed(addresses) }),
      ...(context && { secureContext: context }),
    }),
  )
  const connect = throughTunnel(connectDirectly, tunnel)
  // HTTP/1.1: each blob has its own connection, with its own flow control.
  const shared = {
    allowH2: false,
    maxHeaderSize,
    keepAliveTimeout,
    keepAliveMaxTimeout: keepAliveTimeout,
  }
  const direct = new Agent({ ...shared, connect })
  if (options.direct || (proxies.http === undefined && proxies.https === undefined))
    return { dispatcher: direct, destroy: () => direct.destroy() }

  const agents = new Map<string, TrustingAgent>()
  const retiring = new Set<ProxyAgent>()
  const agentFor = (proxy: URL): ProxyAgent => {
    const context = contextOf()
    const known = agents.get(proxy.href)
    if (known !== undefined && known.context === context) return known.agent
    if (known !== undefined) retire(known.agent)
    const own = { ...tls, autoSelectFamily: true, ...(context && { secureContext: context }) }
    const agent = new ProxyAgent({
      ...shared,
      uri: proxy.href,
      requestTls: { ...own, ...name },
      proxyTls: own,
      connectTimeout: timeout,
      // A tunnel is part of the connection, and has the same time limit.
      clientFactory: (origin, client) => new Pool(origin, { ...client, headersTimeout: timeout }),
    })
    agents.set(proxy.href, { agent, context })
    return agent
  }
  /** Its running requests end as they would have. */
  const retire = (agent: ProxyAgent): void => {
    retiring.add(agent)
    void agent.close().then(
      () => retiring.delete(agent),
      () => retiring.delete(agent),
    )
  }
  const dispatcher = direct.compose((dispatch) => (request, handler) => {
    const origin = String(request.origin)
    const proxy = leadsThrough(tunnel, origin) ? undefined : proxies.for(new URL(origin))
    return proxy === undefined
      ? dispatch(request, handler)
      : agentFor(proxy).dispatch(request, handler)
  })
  return {
    dispatcher,
    destroy: async () => {
      const proxied = [...agents.values()].map(({ agent }) => agent)
      await Promise.all([direct, ...proxied, ...retiring].map((agent) => agent.destroy()))
    },
  }
}

type Connector = ReturnType<typeof buildConnector>

/** Connections through a proxy, and the authorities that they trust. */
type TrustingAgent = { readonly agent: ProxyAgent; readonly context: SecureContext | undefined }

/**
 * Plain connections need no authorities, so they are not read. A changed context makes a new connector, which resumes
 * no TLS session of the previous one.
 */
function withLazyAuthorities(
  contextOf: () => SecureContext | undefined,
  build: (context: SecureContext | undefined) => Connector,
): Connector {
  let plain: Connector | undefined
  let secure:
    | { readonly connect: Connector; readonly context: SecureContext | undefined }
    | undefined
  return (options, callback) => {
    if (options.protocol === 'https:') {
      const context = contextOf()
      if (secure === undefined || secure.context !== context)
        secure = { connect: build(context), context }
      return secure.connect(options, callback)
    }
    plain ??= build(undefined)
    return plain(options, callback)
  }
}
