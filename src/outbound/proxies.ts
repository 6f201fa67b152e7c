import { BlockList, isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** The forward proxies from HTTPS_PROXY, HTTP_PROXY and NO_PROXY. */
export type ForwardProxy = {
  readonly http?: string | undefined
  readonly https?: string | undefined
  readonly no?: string | undefined
}

export interface Proxies {
  readonly http: URL | undefined
  readonly https: URL | undefined
  /** The proxy for `url`; undefined if it is reached directly. */
  for(url: URL): URL | undefined
}

/** The message names the variable, and never its value, which may hold a password. */
export class ProxyError extends Error {
  override readonly name = 'ProxyError'
}

/**
 * Follows the rules of Go's net/http (golang.org/x/net/http/httpproxy), as the container runtimes
 * and Kubernetes do: one environment configures all of them alike. NO_PROXY may also use spaces as
 * separators.
 */
export function createProxies({ http, https, no = '' }: ForwardProxy): Proxies {
  const proxies = {
    http: parseProxy('HTTP_PROXY', http),
    https: parseProxy('HTTPS_PROXY', https),
  }
  const exceptions = no
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(parseException)
  return {
    ...proxies,
    for: (url) => {
      const proxy = url.protocol === 'https:' ? proxies.https : proxies.http
      if (proxy === undefined) return undefined
      const host = hostOf(url)
      if (host === 'localhost' || isLoopback(host)) return undefined
      const port = url.port || (url.protocol === 'https:' ? '443' : '80')
      return exceptions.some((matches) => matches(host, port)) ? undefined : proxy
    },
  }
}

/** With or without a scheme: `proxy.example.com:3128` is the most common form. */
function parseProxy(variable: string, text: string | undefined): URL | undefined {
  if (text === undefined || text.trim() === '') return undefined
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text.trim())
  const url = URL.parse(hasScheme ? text.trim() : `http://${text.trim()}`)
  if (url === null || url.hostname === '' || !/^(https?|socks5):$/.test(url.protocol))
    throw new ProxyError(
      `${variable} is not the address of a proxy; expected host:port or http://host:port`,
    )
  return url
}

type Exception = (host: string, port: string) => boolean

function parseException(text: string): Exception {
  if (text === '*') return () => true
  const network = parseNetwork(text)
  if (network !== undefined) return network
  const [, host = '', only] =
    isIP(text) === 0 ? (/^(.*?)(?::(\d+))?$/.exec(text.toLowerCase()) ?? []) : [text, text]
  const withoutBrackets = host.replace(/^\[|\]$/g, '')
  const isPort = (port: string) => only === undefined || port === only
  if (isIP(withoutBrackets) !== 0) {
    const exception = canonical(withoutBrackets)
    return (requested, port) => isPort(port) && canonical(requested) === exception
  }
  const domain = withoutBrackets.replace(/^\*\./, '.')
  if (domain === '') return () => false
  if (domain.startsWith('.')) return (requested, port) => isPort(port) && requested.endsWith(domain)
  return (requested, port) =>
    isPort(port) && (requested === domain || requested.endsWith(`.${domain}`))
}

/** A CIDR range, such as 10.0.0.0/8. */
function parseNetwork(text: string): Exception | undefined {
  const [, address = '', bits = ''] = /^(.+)\/(\d{1,3})$/.exec(text) ?? []
  const version = isIP(address)
  if (version === 0 || Number(bits) > (version === 4 ? 32 : 128)) return undefined
  const family = version === 4 ? 'ipv4' : 'ipv6'
  const range = new BlockList()
  range.addSubnet(address, Number(bits), family)
  return (host) => {
    if (isIP(host) === 0) return false
    const requested = canonical(host)
    return isIP(requested) === version && range.check(requested, family)
  }
}

/** IPv4-mapped IPv6 addresses are treated as IPv4. */
function canonical(address: string): string {
  return isIP(address) === 0 ? address : ipaddr.process(address).toString()
}

function isLoopback(host: string): boolean {
  return isIP(host) !== 0 && ipaddr.process(host).range() === 'loopback'
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
}
