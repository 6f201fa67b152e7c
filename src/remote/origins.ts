import { isIP } from 'node:net'
import { getDomain } from 'tldts'
import { isPublicAddress } from './addresses.ts'

/**
 * Where registries keep their blobs. A redirect there is followed without being configured, over
 * https and without any credential: it is the object store's own signed URL.
 */
const knownStorage = [
  'storage.googleapis.com',
  '*.storage.googleapis.com',
  '*.pkg.dev',
  '*.amazonaws.com',
  '*.cloudfront.net',
  '*.blob.core.windows.net',
  '*.blob.core.chinacloudapi.cn',
  '*.blob.core.usgovcloudapi.net',
  '*.data.mcr.microsoft.com',
  '*.cloudflare.docker.com',
  '*.cloudflarestorage.com',
  '*.githubusercontent.com',
]

/**
 * How far another origin is trusted: `listed` by the operator, or `foreign`, reached at public
 * addresses only.
 */
export type Trust = 'own' | 'listed' | 'foreign'

/** Which other origins an upstream may name. A refusal is undefined. */
export interface Origins {
  /** Where a challenge's realm may send our credential. */
  realm(url: URL): Trust | undefined
  /**
   * Where a redirect may send a request, without credential unless the origin is the upstream's
   * own.
   */
  redirect(url: URL): Trust | undefined
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
  const domain = getDomain(own, { allowPrivateDomains: true })
  const sameDomain = (url: URL) =>
    domain !== null && getDomain(url.hostname, { allowPrivateDomains: true }) === domain

  const trust = (
    url: URL,
    listed: readonly string[],
    known: (url: URL) => boolean,
  ): Trust | undefined => {
    if (url.username !== '' || url.password !== '') return undefined
    if (url.origin === own) return 'own'
    if (listed.some((pattern) => matches(pattern, url))) return 'listed'
    if (url.protocol !== 'https:' || isInward(url)) return undefined
    return known(url) ? 'foreign' : undefined
  }

  return {
    realm: (url) => trust(url, realms, sameDomain),
    redirect: (url) =>
      trust(
        url,
        redirects,
        (to) => sameDomain(to) || knownStorage.some((pattern) => matches(pattern, to)),
      ),
  }
}

/** A literal address needs no lookup, so it is judged here. */
function isInward({ hostname }: URL): boolean {
  const bare = hostname.replace(/^\[|\]$/g, '')
  return isIP(bare) !== 0 && !isPublicAddress(bare)
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
