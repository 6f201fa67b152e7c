import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

/** One answer as it came over the wire. */
export type RawReply = {
  readonly status: number
  /** Names in lower case; of several, the last. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** A raw connection that sends any bytes, and keeps the received ones. */
export interface RawConnection {
  readonly socket: Socket
  send(bytes: Buffer | string): void
  /** Lines of a request, ended by an empty one. */
  ask(...lines: readonly string[]): void
  /** The next answer in order; `bodiless` is one to HEAD. Rejects when the connection ends first. */
  reply(options?: { readonly bodiless?: boolean }): Promise<RawReply>
  /** What was heard and is not part of an answer that was taken. */
  rest(): Buffer
  /** Settles when the peer has closed or reset the connection. */
  readonly closed: Promise<void>
  /** Takes no more bytes from the network until `resume`. */
  pause(): void
  resume(): void
  /** RST. */
  reset(): void
}

type RawOptions = {
  /** For a TLS server whose certificate is not looked at. */
  readonly tls?: boolean
  /** Bytes that are taken before the other side has to wait, if `paused`. */
  readonly paused?: boolean
}

/** Connects to the host and port of a URL. */
export async function connectRaw(url: string, options: RawOptions = {}): Promise<RawConnection> {
  const { hostname, port, protocol } = new URL(url)
  const tcp = connect({ host: hostname, port: Number(port) })
  const isTls = options.tls ?? protocol === 'https:'
  const socket = isTls ? connectTls({ socket: tcp, rejectUnauthorized: false }) : tcp
  const opened = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<void>()
  let heard: Buffer[] = []
  let isClosed = false
  let progress = Promise.withResolvers<void>()
  const wake = () => {
    progress.resolve()
    progress = Promise.withResolvers<void>()
  }
  /** Joined when they are looked at, and not each time that some come. */
  const rest = (): Buffer => {
    if (heard.length !== 1) heard = [Buffer.concat(heard)]
    return heard[0] ?? Buffer.alloc(0)
  }
  socket.once(isTls ? 'secureConnect' : 'connect', () => opened.resolve())
  for (const one of [tcp, socket]) one.on('error', opened.reject)
  socket.on('data', (bytes: Buffer) => {
    heard.push(bytes)
    wake()
  })
  socket.on('close', () => {
    isClosed = true
    closed.resolve()
    wake()
  })
  if (options.paused) socket.pause()
  await opened.promise

  const takeReply = (bodiless: boolean): RawReply | undefined => {
    const head = readHead(heard[0] ?? Buffer.alloc(0), bodiless) ?? readHead(rest(), bodiless)
    const size = heard.reduce((sum, { length }) => sum + length, 0)
    if (head === undefined || size < head.end) return undefined
    const { status, headers, start, end } = head
    const body = rest().subarray(start, end)
    heard = [rest().subarray(end)]
    return { status, headers, body }
  }

  return {
    socket,
    send: (bytes) => void socket.write(bytes),
    ask: (...lines) => void socket.write(`${lines.join('\r\n')}\r\n\r\n`),
    reply: async ({ bodiless = false } = {}) => {
      for (;;) {
        const taken = takeReply(bodiless)
        if (taken !== undefined) return taken
        if (isClosed) throw new Error(`hung up after: ${rest().toString('latin1').slice(0, 300)}`)
        await progress.promise
      }
    },
    rest,
    closed: closed.promise,
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    reset: () => void tcp.resetAndDestroy(),
  }
}

type Head = Omit<RawReply, 'body'> & {
  /** Where the body starts and ends. */
  readonly start: number
  readonly end: number
}

/** The status line and headers in front; undefined until they are whole. */
function readHead(bytes: Buffer, bodiless: boolean): Head | undefined {
  const blank = bytes.indexOf('\r\n\r\n')
  if (blank < 0) return undefined
  const [line = '', ...lines] = bytes.toString('latin1', 0, blank).split('\r\n')
  const headers = Object.fromEntries(
    lines.map((header) => {
      const colon = header.indexOf(':')
      return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()]
    }),
  )
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1] ?? Number.NaN)
  if (Number.isNaN(status)) throw new Error(`not an answer: ${line.slice(0, 200)}`)
  const size = bodiless || status === 304 ? 0 : Number(headers['content-length'] ?? Number.NaN)
  if (Number.isNaN(size)) throw new Error(`an answer without Content-Length: ${line}`)
  return { status, headers, start: blank + 4, end: blank + 4 + size }
}
