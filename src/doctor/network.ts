import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { withDeadline } from '../outbound/outbound.ts'
import type { Greeting, Remote } from '../remote/remote.ts'
import type { Finding } from './finding.ts'
import type { Evidence } from './step-recorder.ts'

/** Milliseconds: a resolver that says nothing for longer is as good as none. */
const lookupDeadline = 5000

/** The addresses of the upstream's host, as this process sees them; nothing to look up in an address. */
export async function checkName(url: URL, evidence: Evidence): Promise<Finding | undefined> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0) return undefined
  try {
    const found = await withDeadline(lookup(host, { all: true }), lookupDeadline)
    const addresses = found.map(({ address }) => address)
    return evidence.ok('name', `${host} is ${addresses.join(', ')}`)
  } catch (error) {
    const advice =
      "check the host in the upstream's url, and whether the DNS server can be reached from here"
    return { ...evidence.failed('name', `looking up ${host}`, error), advice }
  }
}

type Connection = {
  readonly finding: Finding
  /** Undefined when there is no connection. */
  readonly greeting: Greeting | undefined
}

/** Opens the connection that requests will go over, TLS and forward proxy included. */
export async function checkConnection(
  remote: Remote,
  proxy: string | undefined,
  evidence: Evidence,
): Promise<Connection> {
  const way = proxy === undefined ? '' : ` by the forward proxy ${proxy}`
  try {
    const greeting = await remote.greet()
    const how = describe(evidence.connections.at(-1))
    return {
      finding: evidence.ok('connection', `connected to ${remote.origin}${way}${how}`),
      greeting,
    }
  } catch (error) {
    const finding = evidence.failed('connection', `connecting to ${remote.origin}${way}`, error)
    return { finding, greeting: undefined }
  }
}

function describe(connected: Evidence['connections'][number] | undefined): string {
  if (connected === undefined) return ''
  const { address, tls } = connected
  if (tls === undefined) return `: ${address}, without TLS`
  const until = tls.validUntil.toISOString().slice(0, 10)
  return `: ${address}, ${tls.protocol}, certificate of ${tls.subject} by ${tls.issuer}, valid until ${until}`
}
