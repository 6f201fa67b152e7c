import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { withDeadline } from '../outbound/outbound.ts'
import type { PingResult, Remote } from '../remote/remote.ts'
import type { Finding } from './finding.ts'
import type { StepRecorder } from './step-recorder.ts'

/** Milliseconds. */
const lookupTimeout = 5000

/** Resolves the host name of the upstream; undefined for an address. */
export async function checkName(url: URL, recorder: StepRecorder): Promise<Finding | undefined> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (isIP(host) !== 0) return undefined
  try {
    const found = await withDeadline(lookup(host, { all: true }), lookupTimeout)
    const addresses = found.map(({ address }) => address)
    return recorder.ok('name', `${host} resolves to ${addresses.join(', ')}`)
  } catch (error) {
    const advice =
      "check the host in the upstream's url, and the DNS server that this machine or pod uses"
    return { ...recorder.failed('name', `cannot resolve ${host}`, error), advice }
  }
}

type Connection = {
  readonly finding: Finding
  /** The answer to `GET /v2/`; undefined without a connection. */
  readonly ping: PingResult | undefined
}

/** Opens the connection that requests use, including TLS and the forward proxy. */
export async function checkConnection(
  remote: Remote,
  proxy: string | undefined,
  recorder: StepRecorder,
): Promise<Connection> {
  const route = proxy === undefined ? '' : ` through the forward proxy ${proxy}`
  try {
    const ping = await remote.ping()
    const details = describe(recorder.connections.at(-1))
    return {
      finding: recorder.ok('connection', `connected to ${remote.origin}${route}${details}`),
      ping,
    }
  } catch (error) {
    const attempted = `cannot connect to ${remote.origin}${route}`
    return { finding: recorder.failed('connection', attempted, error), ping: undefined }
  }
}

function describe(connected: StepRecorder['connections'][number] | undefined): string {
  if (connected === undefined) return ''
  const { address, tls } = connected
  if (tls === undefined) return `: ${address}, without TLS`
  const until = tls.validUntil.toISOString().slice(0, 10)
  return `: ${address}, ${tls.protocol}, certificate for ${tls.subject} issued by ${tls.issuer}, valid until ${until}`
}
