import { createServer, type Socket } from 'node:net'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { type Blob, family, type Image } from './images.ts'

/** A list: the header occurs several times. */
type AnswerHeaders = Readonly<Record<string, string | readonly string[]>>

/** One request as it came, and the socket to answer it on, byte by byte if need be. */
export type Exchange = {
  readonly method: string
  readonly path: string
  /** Names in lower case; of several, the last. */
  readonly headers: Readonly<Record<string, string>>
  readonly socket: Socket
  /** A whole answer. Content-Length is set unless `headers` says something else of it. */
  reply(status: number, headers?: AnswerHeaders, body?: Buffer | string): void
  /** Status line and headers alone. */
  head(status: number, headers?: AnswerHeaders): void
  /** Bytes as they are. Resolves when the socket took them. */
  write(bytes: Buffer | string): Promise<void>
  /** RST. */
  reset(): void
  /** FIN. */
  end(): void
}

/** Instead of a header that registries send with each answer: it is left out. */
const absent = 'absent'
/** Headers of what answers in front of a registry, and is none. */
export const noRegistry = { 'docker-distribution-api-version': absent } as const

export type Answering = (exchange: Exchange) => void | Promise<void>

/**
 * A registry on a raw socket that answers correctly by default: `on` puts another answer in
 * front of the correct one. It implements only as much HTTP as the faults need.
 */
export interface ScriptedUpstream {
  readonly url: string
  readonly port: number
  /** All requests so far. */
  readonly requests: readonly Omit<Exchange, 'reply' | 'head' | 'write' | 'reset' | 'end'>[]
  /** Requests whose line, `GET /v2/…`, contains the text. */
  count(text: string): number
  put(name: string, tag: string | undefined, image: Image): void
  putBlob(name: string, blob: Blob): void
  untag(name: string, tag: string): void
  /** Answers requests whose line contains `text` instead; for the next `times` of them. */
  on(text: string, answer: Answering, times?: number): void
  /** Called before each answer, to replace it. */
  misbehave(choose: () => Answering | undefined): void
  /** Removes all answers that `on` and `misbehave` have set. */
  behave(): void
  /** Ends all connections, and listens no more until `start`. */
  stop(): Promise<void>
  start(): Promise<void>
  close(): Promise<void>
}

export async function startScriptedUpstream(
  at: { readonly host?: string; readonly port?: number } = {},
): Promise<ScriptedUpstream> {
  const { host = '127.0.0.1' } = at
  const manifests = new Map<string, Image>()
  const blobs = new Map<string, Buffer>()
  const requests: Exchange[] = []
  const rules: { readonly text: string; readonly answer: Answering; times: number }[] = []
  const sockets = new Set<Socket>()

  let choose: () => Answering | undefined = () => undefined

  const respond = (exchange: Exchange): void | Promise<void> => {
    requests.push(exchange)
    const chosen = choose()
    if (chosen !== undefined) return chosen(exchange)
    const line = `${exchange.method} ${exchange.path}`
    const rule = rules.find(({ text, times }) => line.includes(text) && times > 0)
    if (rule === undefined) return answerRightly(exchange)
    rule.times -= 1
    return rule.answer(exchange)
  }

  const answerRightly = (exchange: Exchange): void => {
    const { path } = exchange
    const [, name = '', kind = '', last = ''] =
      /^\/v2\/(.+)\/(manifests|blobs|tags|referrers)\/([^/?]+)/.exec(path) ?? []
    if (path === '/v2/') return exchange.reply(200, {}, '{}')
    if (kind === 'manifests') return answerManifest(exchange, manifests.get(`${name}:${last}`))
    if (kind === 'blobs') return answerBlob(exchange, blobs.get(`${name}@${last}`))
    if (kind === 'tags') return answerTags(exchange, name)
    exchange.reply(404, {}, '{"errors":[{"code":"UNSUPPORTED"}]}')
  }

  const answerTags = (exchange: Exchange, name: string): void => {
    const tags = [...manifests.keys()].flatMap((key) =>
      key.startsWith(`${name}:`) && !key.includes(':sha') ? [key.slice(name.length + 1)] : [],
    )
    if (tags.length === 0) return exchange.reply(404, {}, '{"errors":[{"code":"NAME_UNKNOWN"}]}')
    exchange.reply(200, { 'content-type': 'application/json' }, JSON.stringify({ name, tags }))
  }

  // Or the second of two writes waits 40 ms for the first to be acknowledged.
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    readRequests(socket, respond)
  })
  const listen = (port: number) => {
    const listening = Promise.withResolvers<void>()
    server.once('error', listening.reject)
    server.listen(port, host, () => listening.resolve())
    return listening.promise
  }
  await listen(at.port ?? 0)
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0

  const stop = async () => {
    const closed = Promise.withResolvers<void>()
    if (!server.listening) return
    server.close(() => closed.resolve())
    for (const socket of sockets) socket.destroy()
    await closed.promise
  }

  return {
    url: `http://${host}:${port}`,
    port,
    requests,
    count: (text) =>
      requests.filter(({ method, path }) => `${method} ${path}`.includes(text)).length,
    put: (name, tag, image) => {
      for (const member of family(image)) {
        manifests.set(`${name}:${member.digest}`, member)
        for (const { digest, bytes } of member.blobs) blobs.set(`${name}@${digest}`, bytes)
      }
      if (tag !== undefined) manifests.set(`${name}:${tag}`, image)
    },
    putBlob: (name, { digest, bytes }) => void blobs.set(`${name}@${digest}`, bytes),
    untag: (name, tag) => void manifests.delete(`${name}:${tag}`),
    on: (text, answer, times = Number.POSITIVE_INFINITY) =>
      void rules.push({ text, answer, times }),
    misbehave: (next) => {
      choose = next
    },
    behave: () => {
      rules.splice(0)
      choose = () => undefined
    },
    stop,
    start: () => listen(port),
    close: stop,
  }
}

function answerManifest({ reply, head, method }: Exchange, image: Image | undefined): void {
  if (image === undefined) return reply(404, {}, '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
  const headers = { 'content-type': image.mediaType, 'docker-content-digest': image.digest }
  if (method === 'HEAD') head(200, { ...headers, 'content-length': String(image.bytes.length) })
  else reply(200, headers, image.bytes)
}

function answerBlob({ reply, head, method, headers }: Exchange, bytes: Buffer | undefined): void {
  if (bytes === undefined) return reply(404, {}, '{"errors":[{"code":"BLOB_UNKNOWN"}]}')
  const from = Number(/^bytes=(\d+)-$/.exec(headers['range'] ?? '')?.[1] ?? 0)
  const type = { 'content-type': 'application/octet-stream' }
  if (method === 'HEAD') return head(200, { ...type, 'content-length': String(bytes.length) })
  if (from === 0) return reply(200, type, bytes)
  const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`
  reply(206, { ...type, 'content-range': range }, bytes.subarray(from))
}

/** Requests without bodies, one after the other, as the client under test sends them. */
function readRequests(socket: Socket, respond: (exchange: Exchange) => void | Promise<void>): void {
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
      const [line = '', ...lines] = text.slice(0, end).split('\r\n')
      text = text.slice(end + 4)
      const [method = '', path = ''] = line.split(' ')
      const headers = Object.fromEntries(
        lines.map((header) => {
          const colon = header.indexOf(':')
          return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()]
        }),
      )
      void respond(exchangeOn(socket, { method, path, headers }))
    }
  })
}

function exchangeOn(
  socket: Socket,
  request: Pick<Exchange, 'method' | 'path' | 'headers'>,
): Exchange {
  const head: Exchange['head'] = (status, headers = {}) => {
    const all = { 'docker-distribution-api-version': 'registry/2.0', ...headers }
    const lines = Object.entries(all).flatMap(([name, value]) =>
      [value].flat().flatMap((one) => (one === absent ? [] : [`${name}: ${one}\r\n`])),
    )
    socket.write(`HTTP/1.1 ${status} Scripted\r\n${lines.join('')}\r\n`)
  }
  return {
    ...request,
    socket,
    head,
    reply: (status, headers = {}, body = '') => {
      head(status, { 'content-length': String(Buffer.byteLength(body)), ...headers })
      socket.write(body)
    },
    write: (bytes) => {
      const written = Promise.withResolvers<void>()
      socket.write(bytes, () => written.resolve())
      return written.promise
    },
    reset: () => void socket.resetAndDestroy(),
    end: () => void socket.end(),
  }
}

/** A blob whose bytes from `position` on come when `gate` opens. */
export function answerInTwo(bytes: Buffer, position: number, gate: Promise<void>): Answering {
  return async ({ head, write }) => {
    head(200, { 'content-length': String(bytes.length) })
    await write(bytes.subarray(0, position))
    await gate
    await write(bytes.subarray(position))
  }
}

/** A blob from the requested position, whose connection breaks at `end` if that is before its end. */
export function answerUpTo(bytes: Buffer, end: number): Answering {
  return async ({ head, write, reset, headers }) => {
    const from = Number(/^bytes=(\d+)-$/.exec(headers['range'] ?? '')?.[1] ?? 0)
    const range = { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }
    const length = { 'content-length': String(bytes.length - from) }
    head(from === 0 ? 200 : 206, from === 0 ? length : { ...length, ...range })
    await write(bytes.subarray(from, end))
    if (end < bytes.length) reset()
  }
}

/** A referrers answer of a registry that has the API. */
export function referrersAnswer(descriptors: readonly unknown[]): Answering {
  const body = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: descriptors,
  })
  return ({ reply }) => reply(200, { 'content-type': mediaTypes.ociIndex }, body)
}
