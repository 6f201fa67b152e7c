import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** An established connection: to an upstream, or to the forward proxy in front of it. */
export type Connected = {
  /** `host:port`, as requested. */
  readonly to: string
  /** The peer's address. */
  readonly address: string
  readonly tls:
    | {
        readonly protocol: string
        readonly subject: string
        readonly issuer: string
        readonly validUntil: Date
      }
    | undefined
}

const channel = 'undici:client:connected'

/**
 * Reports every connection that this process's HTTP client opens, until the returned function is
 * called. For the doctor, which is alone in its process: it sees the connections that the server
 * would use, not separate ones that may behave differently.
 */
export function watchConnections(seen: (connected: Connected) => void): () => void {
  const listener = (message: unknown) => {
    if (!isConnectedMessage(message)) return
    const { connectParams, socket } = message
    seen({
      to: connectParams.host,
      address: `${socket.remoteAddress}:${socket.remotePort}`,
      tls: socket instanceof TLSSocket ? tlsOf(socket) : undefined,
    })
  }
  subscribe(channel, listener)
  return () => void unsubscribe(channel, listener)
}

type ConnectedMessage = {
  readonly connectParams: { readonly host: string }
  readonly socket: Socket
}

function isConnectedMessage(message: unknown): message is ConnectedMessage {
  return typeof message === 'object' && message !== null && 'socket' in message
}

function tlsOf(socket: TLSSocket): Connected['tls'] {
  const { subject, issuer, valid_to } = socket.getPeerCertificate()
  return {
    protocol: socket.getProtocol() ?? 'TLS',
    subject: String(subject?.CN ?? subject?.O ?? 'a nameless subject'),
    issuer: [issuer?.CN, issuer?.O].filter(Boolean).join(', ') || 'a nameless issuer',
    validUntil: new Date(valid_to),
  }
}
