import { isIP } from 'node:net'
import { getDomain } from 'tldts'
import { isPrivateAddress, isPublicAddress } from '../outbound/outbound.ts'

/**
 * How far another origin is trusted, and so at which addresses it is reached: `listed` by the
 * operator at any, `foreign` at public ones. A `sibling` of the upstream (same registrable domain, or
 * same host with another port) may be at a private address if the upstream is.
 */
export type Trust = 'own' | 'listed' | 'sibling' | 'foreign'

/** The upstream's fields that allow other origins. */
export type ListField = 'redirects' | 'tokenRealms'

/** Which other origins an upstream may name. A refusal is undefined. */
export interface Origins {
  /** Where a challenge's realm may be asked for a token: with our credential, or anonymously. */
  realm(url: URL, as?: 'credential' | 'anonymous'): Trust | undefined
  /**
   * Where a redirect may send a request, without credential unless the origin is the upstream's
   * own. `content` is asked for by the digest that verifies it; what a `name` means (a tag, a list) is
   * only as right as the host that says it.
   */
  redirect(url: URL, of?: 'content' | 'name'): Trust | undefined
}

type OriginsOptions = {
  readonly own: string
  /**
   * `host`, `*.host`, `host:port` (https) or `http://host:port`, allowed for realms and for
   * redirects.
   */
  readonly realms: readonly string[]
  readonly redirects: readonly string[]
}

export function createOrigins({ own, realms, redirects }: OriginsOptions): Origins {
  const { hostname } = new URL(own)
  const domain = getDomain(own, { allowPrivateDomains: true })
  const isSibling = (url: URL) =>
    url.hostname === hostname ||
    (domain !== null && getDomain(url.hostname, { allowPrivateDomains: true }) === domain)

  /** No list is needed where nothing secret is sent and, for `any`, nothing unverified comes back. */
  const trust = (url: URL, listed: readonly string[], any: boolean): Trust | undefined => {
    if (url.username !== '' || url.password !== '') return undefined
    if (url.origin === own) return 'own'
    if (listed.some((pattern) => matches(pattern, url))) return 'listed'
    if (url.protocol !== 'https:') return undefined
    const address = addressIn(url)
    if (isSibling(url)) return address === undefined || isReachable(address) ? 'sibling' : undefined
    if (!any || (address !== undefined && !isPublicAddress(address))) return undefined
    return 'foreign'
  }

  return {
    realm: (url, as = 'credential') => trust(url, realms, as === 'anonymous'),
    redirect: (url, of = 'content') =>
      trust(url, redirects, of === 'content' || isBehind(hostname, url)),
  }
}

/** Registries whose tags another registry answers for, on redirects of theirs. */
const behind: Readonly<Record<string, string>> = { 'registry.k8s.io': '*.pkg.dev' }

function isBehind(hostname: string, url: URL): boolean {
  const pattern = behind[hostname]
  return pattern !== undefined && matches(pattern, url)
}

/** A literal address needs no lookup, so it is judged here. */
function addressIn({ hostname }: URL): string | undefined {
  const bare = hostname.replace(/^\[|\]$/g, '')
  return isIP(bare) === 0 ? undefined : bare
}

/** Of a sibling's literal address, which is the upstream's own with another port. */
function isReachable(address: string): boolean {
  return isPublicAddress(address) || isPrivateAddress(address)
}

function matches(pattern: string, url: URL): boolean {
  const [, scheme = 'https', host = '', port = ''] =
    /^(?:(https?):\/\/)?(.+?)(?::(\d+))?\/?$/.exec(pattern.toLowerCase()) ?? []
  if (url.protocol !== `${scheme}:` || url.port !== withoutDefault(scheme, port)) return false
  return host.startsWith('*.') ? url.hostname.endsWith(host.slice(1)) : url.hostname === host
}

function withoutDefault(scheme: string, port: string): string {
  return port === (scheme === 'https' ? '443' : '80') ? '' : port
}
