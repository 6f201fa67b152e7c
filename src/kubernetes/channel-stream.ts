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
 * Masks keep clients from choosing the bytes that a proxy sees (RFC 6455, 10.3). Inside TLS it sees none of them, and
 * this mask, which changes nothing, saves most of the time of a push: ws masks byte by byte, into a new buffer.
 */
const unmasked = (mask: Buffer): void => void mask.fill(0)

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
    ...(url.protocol === 'wss:' && { generateMask: unmasked }),
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

/** Bytes. More of them in one message save nothing. */
const usualMessage = 128 * 1024

/**
 * The bytes of two channels of a WebSocket (`v4.channel.k8s.io`: the first byte of each message is the channel) as
 * a stream, with back-pressure in both directions: the socket is not read while the reader is slow, and a write is
 * done when the socket has room again.
 */
export function createChannelStream(socket: WebSocket, options: ChannelOptions): Duplex {
  const { input, output, skip = 0, onMessage, onClose } = options
  let toSkip = skip
  /** Of messages that were sent, used again: see `createFrameBuffers` of the tunnel. */
  const free: Buffer[] = []
  /** One message for all that waits: the API server takes about as long for a short one. */
  const send = (parts: readonly Buffer[], done: (error?: Error | null) => void): void => {
    const length = parts.reduce((sum, part) => sum + part.length, 1)
    const isUsual = length <= usualMessage
    const buffer =
      (isUsual ? free.pop() : undefined) ?? Buffer.allocUnsafeSlow(Math.max(length, usualMessage))
    buffer[0] = input
    let at = 1
    for (const part of parts) {
      buffer.set(part, at)
      at += part.length
    }
    const isFull = socket.bufferedAmount > maxBuffered
    socket.send(buffer.subarray(0, length), (error) => {
      if (isUsual) free.push(buffer)
      if (isFull) done(error)
    })
    if (!isFull) done()
  }
  const duplex = new Duplex({
    allowHalfOpen: true,
    read: () => socket.resume(),
    writableHighWaterMark: usualMessage,
    write: (bytes: Buffer, _encoding, done) => send([bytes], done),
    writev: (chunks, done) =>
      send(
        chunks.map(({ chunk }) => chunk),
        done,
      ),
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
