import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { buildConnector } from 'undici'

/** Connections to one host, that something else carries. */
export type OutboundTunnel = {
  /** `host:port` */
  readonly host: string
  open(): Promise<Duplex>
}

type Connector = ReturnType<typeof buildConnector>

/** Connects to the host of a tunnel through it, with TLS inside the tunnel; to others as `connect` does. */
export function throughTunnel(connect: Connector, tunnel: OutboundTunnel | undefined): Connector {
  if (tunnel === undefined) return connect
  return (options, callback) => {
    if (!leadsThrough(tunnel, `${options.protocol}//${options.host ?? options.hostname}`))
      return connect(options, callback)
    tunnel.open().then(
      (stream) => {
        const socket = asSocket(stream)
        if (options.protocol === 'https:') connect({ ...options, httpSocket: socket }, callback)
        else callback(null, socket)
      },
      (error: Error) => callback(error, null),
    )
  }
}

export function leadsThrough(tunnel: OutboundTunnel | undefined, origin: string): boolean {
  return (
    tunnel !== undefined &&
    new URL(origin).host === new URL(`${new URL(origin).protocol}//${tunnel.host}`).host
  )
}

/** The HTTP client uses of a socket what each stream has, and these two. */
function asSocket(stream: Duplex): Socket {
  const own = { ref: () => stream, unref: () => stream }
  return Object.assign(stream, own) as unknown as Socket
}
