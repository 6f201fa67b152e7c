import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Credentials, createCredentials } from '../../credentials/credentials.ts'
import { listenAdmin } from '../../http/http.ts'
import { readRegularFile } from '../../input/input.ts'
import { createMemory, defaultMemoryLimit } from '../../memory/memory.ts'
import { RegistryError } from '../../oci/errors.ts'
import { createOutbound } from '../../outbound/outbound.ts'
import { listenForPipes } from '../../pipe/pipe.ts'
import { createForwarder, createTransport, type Forwarder } from '../../remote/remote.ts'
import { createHandler, examine, type Report, reportOf } from '../../surrogate/surrogate.ts'
import { createTelemetry } from '../../telemetry/telemetry.ts'
import { createTunnelServer } from '../../tunnel/tunnel.ts'
import { collectGarbageLessOften } from '../process/heap.ts'
import { untilSignal } from '../process/signals.ts'
import { attempt } from '../process/start-errors.ts'

type Options = {
  readonly version: string
  readonly registry: URL
  readonly aliases: readonly string[]
  /** Directory of the Secret with the login. */
  readonly secret?: string
  readonly secretName: string
  readonly tokenFile?: string
  readonly tokenRealms: readonly string[]
  readonly redirects: readonly string[]
  readonly certificate?: string
  readonly serverName?: string
  readonly prefix?: string
  readonly directory: string
  readonly port: number
  readonly adminPort: number
  readonly adminHost: string
  /** Milliseconds. */
  readonly interval: number
  readonly logLevel: string
}

/** Milliseconds: connecting; until the headers of an answer; between two chunks; and bytes per second. */
const timeouts = { connect: 10_000, firstByte: 300_000, idle: 60_000, minimumRate: 1024 }
const loopback = '127.0.0.1'
/** Streams of tunnels have a limit of their own. */
const maxConnections = 256
/** Milliseconds for requests that run when the surrogate is stopped. */
const grace = 20_000

type Connection = { readonly forwarder: Forwarder; readonly authorities: string | undefined }

/** The wiring of `berth surrogate`. Resolves when it was stopped by a signal. */
export async function runSurrogate(options: Options): Promise<void> {
  collectGarbageLessOften()
  const { registry, version, directory, prefix = '' } = options
  const telemetry = createTelemetry({ level: options.logLevel, withoutZeros: true })
  const { log } = telemetry
  const memory = createMemory(defaultMemoryLimit())
  const outbound = createOutbound()
  const upstream = registry.host
  let connection: Connection | undefined
  let report: Report = reportOf('Starting', 'the surrogate has not asked the registry yet')

  const openCredentials = (): Credentials =>
    createCredentials(credentialsOf(options), { host: upstream, outbound, upstream, telemetry })

  const open = (authorities: string | undefined): Connection => {
    const { certificate: certificateAuthorities, serverName, tokenRealms, redirects } = options
    const { hostname: host } = registry
    const transport = createTransport({
      ...{ timeouts, outbound, host, certificateAuthorities, serverName },
      userAgent: `berth-surrogate/${version}`,
    })
    const forwarder = createForwarder({
      ...{ upstream, url: registry.href, tokenRealms, redirects, transport },
      credentials: openCredentials(),
      caches: memory.caches,
      metrics: telemetry.metrics,
    })
    return { forwarder, authorities }
  }

  /** Requests that run keep their connections for a while. */
  const replace = (next: Connection): void => {
    const old = connection
    connection = next
    if (old !== undefined) setTimeout(() => void old.forwarder.close(), grace).unref()
  }

  const look = async (): Promise<void> => {
    const before = report
    report = await lookOnce()
    if (before.reachable.reason !== report.reachable.reason)
      log.info(report, 'reachability changed')
    else if (before.authenticated.reason !== report.authenticated.reason)
      log.info(report, 'the login changed')
  }

  const lookOnce = async (): Promise<Report> => {
    const { certificate } = options
    const authorities =
      certificate === undefined ? undefined : await readRegularFile(certificate).catch(() => '')
    if (authorities !== undefined && !authorities.includes('-----BEGIN CERTIFICATE-----'))
      return reportOf(
        'CertificateAuthorityMissing',
        'there is no certificate in the Secret or ConfigMap that spec.tls names: check its name and its key',
      )
    if (connection === undefined || connection.authorities !== authorities)
      replace(open(authorities))
    const { forwarder } = connection ?? open(authorities)
    return examine({ forwarder, hasLogin: credentialsOf(options).type !== 'anonymous' })
  }

  const handler = createHandler({
    forwarder: () => {
      if (connection !== undefined) return connection.forwarder
      throw new RegistryError('UNAVAILABLE', { message: report.reachable.message, retryAfter: 5 })
    },
    memory: memory.inFlight,
    log,
  })
  const server = createServer({ requestTimeout: 0 }, handler)
  server.maxConnections = maxConnections
  const listening = once(server, 'listening')
  await attempt('port', async () => {
    server.listen(options.port, loopback)
    await listening
  })
  const { port } = server.address() as AddressInfo
  const tunnels = createTunnelServer({
    version,
    registry: () => ({ scheme: 'http', hosted: [prefix] }),
    dial: () => connect({ host: loopback, port, allowHalfOpen: true }),
    reserve: memory.inFlight.reserve,
    onError: (err) => log.warn({ err }, 'a pipe was closed'),
  })
  await attempt('directory', () => mkdir(directory, { recursive: true }))
  const pipes = await attempt('directory', () => listenForPipes(directory, tunnels.accept))
  const admin = await attempt('admin', () =>
    listenAdmin({
      hosts: [options.adminHost],
      port: options.adminPort,
      readiness: () => ({
        ready: true,
        parts: { registry: partOf(report.reachable), login: partOf(report.authenticated) },
      }),
      status: () => report,
      telemetry,
    }),
  )
  const [{ port: adminPort } = { port: options.adminPort }] = admin.addresses
  log.info({ registry: registry.origin, port, admin: adminPort, directory }, 'handing requests on')

  const stop = new AbortController()
  const looking = (async () => {
    while (!stop.signal.aborted) {
      await look()
      await sleep(options.interval, undefined, { signal: stop.signal }).catch(() => {})
    }
  })()
  const signal = await untilSignal()
  log.info({ signal }, 'stopping')
  stop.abort()
  await looking
  tunnels.drain()
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  await Promise.race([closed, sleep(grace)])
  tunnels.close()
  await pipes.close()
  await admin.close(0)
  log.info('stopped')
  await telemetry.end()
  process.exit(0)
}

function credentialsOf({ registry, aliases, secret, secretName: name, tokenFile }: Options) {
  if (secret !== undefined)
    return { type: 'secret', directory: secret, name, hosts: [registry.host, ...aliases] } as const
  if (tokenFile !== undefined) return { type: 'registry-token', tokenFile } as const
  return { type: 'anonymous' } as const
}

function partOf({ status, message }: Report['reachable']): string {
  return status === 'True' ? 'ok' : message
}
