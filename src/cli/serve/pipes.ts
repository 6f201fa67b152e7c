import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Config } from '../../config/config.ts'
import type { Memory } from '../../memory/memory.ts'
import { listenForPipes } from '../../pipe/pipe.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { createTunnelServer } from '../../tunnel/tunnel.ts'

type PipesOptions = {
  readonly config: Config
  readonly version: string
  /** Where the registry listens. */
  readonly addresses: readonly AddressInfo[]
  readonly memory: Memory
  readonly telemetry: Telemetry
}

interface Pipes {
  /** To be called before the registry stops listening. */
  drain(): void
  close(): Promise<void>
}

/**
 * Serves tunnels of `berth connect` and others, which `berth pipe` hands on. Their streams lead to this registry, and
 * nowhere else. A directory where no socket can be made is no reason not to serve.
 */
export async function openPipes(options: PipesOptions): Promise<Pipes> {
  const { config, version, addresses, memory, telemetry } = options
  const { log } = telemetry
  const [address] = addresses
  if (address === undefined) return { drain: () => {}, close: async () => {} }
  const registry = {
    scheme: config.tls === undefined ? ('http' as const) : ('https' as const),
    hosted: config.hosted.map(({ prefix }) => prefix),
    audiences: config.auth.serviceAccounts?.audiences ?? [],
  }
  const server = createTunnelServer({
    version,
    registry: () => registry,
    dial: () => connect({ ...own(address), allowHalfOpen: true }),
    reserve: memory.inFlight.reserve,
    onError: (err) => log.warn({ err }, 'a pipe was closed'),
  })
  const root = config.storage.cache.directory ?? join(config.storage.directory, 'cache')
  try {
    const listener = await listenForPipes(root, server.accept)
    return {
      drain: server.drain,
      close: async () => {
        server.close()
        await listener.close()
      },
    }
  } catch (err) {
    log.warn({ err, directory: root }, 'cannot listen for berth pipe: berth connect will not work')
    return { drain: server.drain, close: async () => server.close() }
  }
}

/** An address of this process for one that it listens on. */
function own({ address, port, family }: AddressInfo): {
  readonly host: string
  readonly port: number
} {
  const isAny = address === '0.0.0.0' || address === '::'
  const loopback = family === 'IPv6' ? '::1' : '127.0.0.1'
  return { host: isAny ? loopback : address, port }
}
