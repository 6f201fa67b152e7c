import type { IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { WebSocket } from 'ws'
import type { UserAccess } from './kubeconfig.ts'
import { refused, unreachable, urlOf } from './user-api.ts'

type Opening = {
  readonly path: string
  /** Subprotocols, the best first. */
  readonly protocols: readonly string[]
  readonly signal: AbortSignal
}

/** Bytes of one message: kubelets send 32 KiB, and nobody needs more. */
const maxMessage = 1024 * 1024
/** Milliseconds. */
const handshakeTimeout = 30_000

/**
 * Opens a WebSocket to the API server, as the user.
 * @throws KubernetesError if the API server refuses it, or cannot be reached.
 */
export async function openWebSocket(
  access: UserAccess,
  { path, protocols, signal }: Opening,
): Promise<WebSocket> {
  const { WebSocket: Socket } = await import('ws')
  const url = urlOf(access, path)
  url.protocol = url.protocol.replace('http', 'ws')
  const { headers, ...options } = await access.requestOptions()
  signal.throwIfAborted()
  const socket = new Socket(url, [...protocols], {
    ...options,
    headers: headers as Record<string, string>,
    handshakeTimeout,
    perMessageDeflate: false,
    maxPayload: maxMessage,
  })
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>()
  const abort = () => socket.terminate()
  signal.addEventListener('abort', abort, { once: true })
  socket.on('open', () => resolve(socket))
  socket.on('error', (cause) => reject(unreachable(access, cause)))
  socket.on('unexpected-response', (_request, response: IncomingMessage) => {
    text(response)
      .then((body) => reject(refused(response.statusCode, body)), reject)
      .finally(() => socket.terminate())
  })
  // What arrives before the stream is made must not be lost.
  socket.on('open', () => socket.pause())
  try {
    return await promise
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

type ChannelOptions = {
  /** Numbers of the channels that carry the stream's bytes. */
  readonly input: number
  readonly output: number
  /** Bytes at the beginning of the output that are not the stream's. */
  readonly skip?: number
  /** A message of another channel. */
  readonly onMessage: (channel: number, payload: Buffer) => void
  /** Why the stream failed, when the connection is closed; undefined: it has ended. */
  readonly onClose: () => Error | undefined
}

/** Bytes that may wait in the socket before writers wait. */
const maxBuffered = 256 * 1024

/**
 * The bytes of two channels of a WebSocket (`v4.channel.k8s.io`: the first byte of each message is the channel) as
 * a stream, with back-pressure in both directions: the socket is not read while the reader is slow, and a write is
 * done when the socket has room again.
 */
export function createChannelStream(socket: WebSocket, options: ChannelOptions): Duplex {
  const { input, output, skip = 0, onMessage, onClose } = options
  let toSkip = skip
  const duplex = new Duplex({
    allowHalfOpen: true,
    read: () => socket.resume(),
    write: (bytes: Buffer, _encoding, done) => {
      const message = Buffer.allocUnsafe(bytes.length + 1)
      message[0] = input
      message.set(bytes, 1)
      const isFull = socket.bufferedAmount > maxBuffered
      socket.send(message, isFull ? done : () => {})
      if (!isFull) done()
    },
    final: (done) => {
      // Only v5 can close a channel: 255 and its number.
      if (socket.protocol.startsWith('v5')) socket.send(Buffer.from([255, input]))
      done()
    },
    destroy: (error, done) => {
      socket.terminate()
      done(error)
    },
  })
  socket.on('message', (data) => {
    if (!Buffer.isBuffer(data) || data.length === 0) return
    const channel = data[0] ?? 0
    if (channel !== output) return onMessage(channel, data.subarray(1))
    const payload = data.subarray(1 + toSkip)
    toSkip -= data.length - 1 - payload.length
    if (payload.length > 0 && !duplex.push(payload)) socket.pause()
  })
  socket.on('error', (error) => duplex.destroy(error))
  socket.on('close', () => {
    const failure = onClose()
    if (failure === undefined) duplex.push(null)
    else duplex.destroy(failure)
  })
  return duplex
}
