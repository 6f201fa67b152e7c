import { isIP } from 'node:net'
import { getDomain } from 'tldts'
import { isPrivateAddress, isPublicAddress } from '../outbound/outbound.ts'

/**
 * How far another origin is trusted, and therefore at which addresses it may be reached: `listed`
 * by the operator at any address, `foreign` at public ones. A `sibling` of the upstream (same
 * registrable domain, or same host with another port) may have a private address if the upstream
 * has one.
 */
export type Trust = 'own' | 'listed' | 'sibling' | 'foreign'

/** The upstream's fields that allow other origins. */
export type ListField = 'redirects' | 'tokenRealms'

/** Decides which other origins an upstream may name. Undefined means refused. */
export interface Origins {
  /**
   * Whether the realm of a challenge may receive a token request: with our credential, or
   * anonymously.
   */
  realm(url: URL, as?: 'credential' | 'anonymous'): Trust | undefined
  /**
   * Where a redirect may send a request, without credential unless the origin is the upstream's
   * own. `content` is verified by its digest; a `name` (a tag, a list) can only be trusted as far
   * as the host that answers.
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

  /** No list is needed if no secret is sent and, for `any`, all returned content is verified. */
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

/** Registries whose redirects lead to another registry that answers for their tags. */
const behind: Readonly<Record<string, string>> = { 'registry.k8s.io': '*.pkg.dev' }

function isBehind(hostname: string, url: URL): boolean {
  const pattern = behind[hostname]
  return pattern !== undefined && matches(pattern, url)
}

/** A literal address needs no lookup, so it is checked here. */
function addressIn({ hostname }: URL): string | undefined {
  const bare = hostname.replace(/^\[|\]$/g, '')
  return isIP(bare) === 0 ? undefined : bare
}

/** Checks a sibling's literal address, which is the upstream's own with another port. */
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
