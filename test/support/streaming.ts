import { connect } from 'node:net'
import { connect as connectSecurely } from 'node:tls'
import { isPartOf, type SeededBlob } from './seeded.ts'

/** What came of a body that was looked at and not kept. */
export type Streamed = {
  readonly status: number
  /** Bytes of the body. */
  readonly received: number
  /** Whether the announced number of bytes arrived. */
  readonly complete: boolean
  /** Whether each byte was that of the blob. */
  readonly right: boolean
}

type StreamOptions = {
  /** Only these bytes, both included; to the end without `last`. */
  readonly range?: { readonly first: number; readonly last?: number }
  /** Closes the connection after this many bytes. */
  readonly hangUpAfter?: number
  readonly onFirstByte?: () => void
}

/** The receive buffer of all clients: its content is checked before the next one receives. */
const shared = Buffer.allocUnsafe(512 * 1024)

/** Gets a blob, comparing each byte; hundreds of these cost less than the one who sends. */
export function streamBlob(
  url: string,
  blob: SeededBlob,
  { range, hangUpAfter = Number.POSITIVE_INFINITY, onFirstByte }: StreamOptions = {},
): Promise<Streamed> {
  const { hostname: host, port, protocol } = new URL(url)
  const done = Promise.withResolvers<Streamed>()
  const first = range?.first ?? 0
  let head = ''
  let status = 0
  let announced = 0
  let received = 0
  let right = true

  const readHead = (bytes: Buffer): Buffer => {
    const before = Buffer.byteLength(head, 'latin1')
    head += bytes.toString('latin1')
    const end = head.indexOf('\r\n\r\n') + 4
    if (end < 4) return bytes.subarray(bytes.length)
    status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1] ?? 0)
    announced = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
    return bytes.subarray(end - before)
  }
  const take = (count: number): boolean => {
    const bytes = shared.subarray(0, count)
    const body = status === 0 ? readHead(bytes) : bytes
    if (body.length === 0) return true
    if (received === 0) onFirstByte?.()
    if (status === 200 || status === 206) right &&= isPartOf(blob, first + received, body)
    received += body.length
    if (received >= Math.min(announced, hangUpAfter)) socket.destroy()
    return true
  }
  const address = { host, port: Number(port), onread: { buffer: shared, callback: take } }
  const socket =
    protocol === 'https:'
      ? connectSecurely({ ...address, rejectUnauthorized: false })
      : connect(address)
  socket.on('error', done.reject)
  socket.on('close', () =>
    done.resolve({ status, received, right, complete: status !== 0 && received === announced }),
  )
  const lines = range && `Range: bytes=${range.first}-${range.last ?? ''}\r\n`
  socket.write(`GET ${new URL(url).pathname} HTTP/1.1\r\nHost: x\r\n${lines ?? ''}\r\n`)
  return done.promise
}
