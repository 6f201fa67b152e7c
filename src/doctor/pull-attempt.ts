import { isIP } from 'node:net'
import { rootCertificates } from 'node:tls'
import type { Endpoint, RegistryEndpoints, Rooted } from '../trust/trust.ts'
import type { HostLookup } from './host-lookup.ts'
import { describeAnswer, type ProbeAnswer, probe } from './probe.ts'

export type PullResult = {
  /** URL of the registry that answered; undefined if none did. */
  readonly url: string | undefined
  /** One line for each address that was tried. */
  readonly answers: readonly string[]
  /** Of the last answer. */
  readonly kind: ProbeAnswer['kind']
}

type Options = {
  readonly rooted: Rooted
  readonly endpoints: RegistryEndpoints['endpoints']
  readonly lookup: HostLookup
}

/**
 * Tries the endpoints in order, as a runtime does. Within an endpoint, the first address that accepts
 * the connection decides, even if it is not a registry.
 */
export async function tryToPull({ rooted, endpoints, lookup }: Options): Promise<PullResult> {
  const answers: string[] = []
  let kind: ProbeAnswer['kind'] = 'refused'
  for (const endpoint of endpoints) {
    for (const address of await lookup(endpoint.host)) {
      const { url, answer } = await probeAddress(rooted, endpoint, address)
      answers.push(`${url}: ${describeAnswer(answer)}`)
      kind = answer.kind
      if (kind === 'registry') return { url, answers, kind }
      if (kind !== 'refused' && kind !== 'timeout') break
    }
  }
  return { url: undefined, answers, kind }
}

async function probeAddress(
  rooted: Rooted,
  endpoint: Endpoint,
  address: string,
): Promise<{ readonly url: string; readonly answer: ProbeAnswer }> {
  const [first, second] = schemesOf(endpoint)
  const urlWith = (scheme: 'http' | 'https') =>
    urlOf(scheme, address, portOf(endpoint.host, scheme))
  const answer = await probeScheme(rooted, endpoint, address, first)
  const isFinal = second === undefined || ['registry', 'refused', 'timeout'].includes(answer.kind)
  return isFinal
    ? { url: urlWith(first), answer }
    : { url: urlWith(second), answer: await probeScheme(rooted, endpoint, address, second) }
}

async function probeScheme(
  rooted: Rooted,
  { host, verified, authorities }: Endpoint,
  address: string,
  scheme: 'http' | 'https',
): Promise<ProbeAnswer> {
  const port = portOf(host, scheme)
  if (scheme === 'http' || !verified) return probe({ address, port, scheme, host })
  const trusted = [...(await systemAuthorities(rooted)), ...authorities]
  return probe({ address, port, scheme, host, authorities: trusted })
}

/** The node's certificate authorities; if its files are not visible, Node's own. */
async function systemAuthorities(rooted: Rooted): Promise<readonly string[]> {
  for (const path of ['/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt']) {
    const text = await rooted.text(path)
    if (text !== undefined) return [text]
  }
  return rootCertificates
}

type Schemes = readonly [first: 'http' | 'https', second?: 'http']

function schemesOf({ scheme }: Endpoint): Schemes {
  return scheme === 'either' ? ['https', 'http'] : [scheme]
}

export function portOf(host: string, scheme: 'http' | 'https' = 'https'): number {
  const port = /:(\d+)$/.exec(host.replace(/^\[[^\]]*\]/, ''))?.[1]
  return port === undefined ? (scheme === 'https' ? 443 : 80) : Number(port)
}

export function urlOf(scheme: 'http' | 'https', address: string, port: number): string {
  return `${scheme}://${isIP(address) === 6 ? `[${address}]` : address}:${port}`
}
