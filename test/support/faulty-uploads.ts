import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { digestOf } from '../../src/oci/digest.ts'

/** What happens to one PATCH or PUT of a blob instead of what should. */
export type UploadFault =
  | { readonly kind: 'none' }
  /** Closes the connection, and forgets the body. */
  | { readonly kind: 'lost' }
  /** Closes the connection after this many bytes of the body; a session keeps them. */
  | { readonly kind: 'reset'; readonly after: number }
  /** Takes the whole body, and answers this. */
  | { readonly kind: 'answer'; readonly status: number; readonly body?: string }
  /** Answers this before the body, and ends the connection. */
  | { readonly kind: 'early'; readonly status: number; readonly body: string }
  /** Stores the blob, and ends the connection instead of answering. */
  | { readonly kind: 'lost answer' }
  /** Reads nothing of the body until `gate` resolves. */
  | { readonly kind: 'wait'; readonly gate: Promise<void> }

/** One request as it came, without its body. */
export type Seen = {
  readonly method: string
  readonly path: string
  readonly type: string
  /** Of Content-Range. */
  readonly range: string
  /** Counts up from 1; requests of one connection have the same. */
  readonly connection: number
}

/** A registry that accepts pushes, on a real socket, with configurable faults. */
export interface FaultyRegistry {
  readonly url: string
  readonly requests: readonly Seen[]
  readonly blobs: Map<string, Buffer>
  readonly manifests: Map<string, Buffer>
  /** Of the bodies of blobs, how many bytes arrived so far. */
  received(): number
  /** For the next PATCHes and PUTs of blobs, one each. */
  fail(...faults: readonly UploadFault[]): void
  /** Answers the next requests whose line matches. */
  on(line: RegExp, answer: (response: ServerResponse) => void, times?: number): void
  count(line: RegExp): number
  close(): Promise<void>
}

export async function startFaultyRegistry(): Promise<FaultyRegistry> {
  const requests: Seen[] = []
  const blobs = new Map<string, Buffer>()
  const manifests = new Map<string, Buffer>()
  const faults: UploadFault[] = []
  const rules: { line: RegExp; answer: (response: ServerResponse) => void; times: number }[] = []
  const sockets = new Map<Socket, number>()
  /** Bytes that PATCHes brought, by the path of their session. */
  const partial = new Map<string, Buffer>()
  let connections = 0
  let received = 0
  let sessions = 0

  const takeBlob = async (incoming: IncomingMessage, response: ServerResponse) => {
    const { method = '', url = '' } = incoming
    const fault = faults.shift()
    if (fault?.kind === 'early') {
      response.writeHead(fault.status, { connection: 'close' }).end(fault.body)
      return
    }
    if (fault?.kind === 'wait') await fault.gate
    const path = pathOf(url)
    const before = partial.get(path) ?? Buffer.alloc(0)
    const chunks: Buffer[] = []
    let size = 0
    incoming.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      received += chunk.length
      if (fault?.kind !== 'reset' || size < fault.after) return
      if (method === 'PATCH') partial.set(path, Buffer.concat([before, ...chunks]))
      incoming.socket.resetAndDestroy()
    })
    const bytes = Buffer.concat([before, await buffer(incoming)])
    if (fault?.kind === 'lost') return void incoming.socket.resetAndDestroy()
    if (fault?.kind === 'answer') return end(response, fault.status, fault.body)
    if (method === 'PATCH') {
      partial.set(path, bytes)
      response.setHeader('range', `0-${bytes.length - 1}`)
      return end(response, 202)
    }
    const digest = new URL(url, 'http://any').searchParams.get('digest') ?? ''
    if (digestOf(bytes, digest.startsWith('sha512') ? 'sha512' : 'sha256') !== digest)
      return end(response, 400, '{"errors":[{"code":"DIGEST_INVALID"}]}')
    blobs.set(digest, bytes)
    if (fault?.kind === 'lost answer') return void incoming.socket.resetAndDestroy()
    response.setHeader('docker-content-digest', digest)
    end(response, 201)
  }

  const answerOther = async (incoming: IncomingMessage, response: ServerResponse) => {
    const { method = '', url = '' } = incoming
    const last = pathOf(url).split('/').at(-1) ?? ''
    const bytes = await buffer(incoming)
    if (method === 'POST') {
      sessions += 1
      response.setHeader('location', `${pathOf(url)}session-${sessions}?state=s%2Bt`)
      return end(response, 202)
    }
    if (method === 'GET' && url.includes('/uploads/')) {
      response.setHeader('range', `0-${(partial.get(pathOf(url))?.length ?? 1) - 1}`)
      return end(response, 204)
    }
    if (method === 'DELETE') return end(response, url.includes('/uploads/') ? 204 : 202)
    if (method === 'PUT') {
      manifests.set(last, bytes)
      return end(response, 201)
    }
    const found = url.includes('/manifests/') ? manifests.get(last) : blobs.get(last)
    if (found === undefined) return end(response, 404, '{"errors":[{"code":"BLOB_UNKNOWN"}]}')
    const hash = createHash('sha256').update(found).digest('hex')
    response.writeHead(200, {
      'content-length': found.length,
      'docker-content-digest': `sha256:${hash}`,
    })
    response.end(method === 'HEAD' ? undefined : found)
  }

  const server = createServer(async (incoming, response) => {
    const { method = '', url: path = '', headers } = incoming
    requests.push({
      method,
      path,
      type: headers['content-type'] ?? '',
      range: headers['content-range'] ?? '',
      connection: sockets.get(incoming.socket) ?? 0,
    })
    response.setHeader('docker-distribution-api-version', 'registry/2.0')
    const rule = rules.find(({ line, times }) => times > 0 && line.test(`${method} ${path}`))
    if (rule !== undefined) {
      rule.times -= 1
      await buffer(incoming).catch(() => {})
      return rule.answer(response)
    }
    const isBlob = ['PATCH', 'PUT'].includes(method) && path.includes('/uploads/')
    const answering = isBlob ? takeBlob(incoming, response) : answerOther(incoming, response)
    await answering.catch(() => {})
  })
  server.on('connection', (socket) => {
    connections += 1
    sockets.set(socket, connections)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  const listening = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', listening.resolve)
  await listening.promise
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0

  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    blobs,
    manifests,
    received: () => received,
    fail: (...next) => void faults.push(...next),
    on: (line, answer, times = Number.POSITIVE_INFINITY) =>
      void rules.push({ line, answer, times }),
    count: (line) => requests.filter(({ method, path }) => line.test(`${method} ${path}`)).length,
    close: async () => {
      const closed = Promise.withResolvers<void>()
      server.close(() => closed.resolve())
      for (const socket of sockets.keys()) socket.destroy()
      await closed.promise
    },
  }
}

function pathOf(url: string): string {
  return url.split('?')[0] ?? ''
}

function end(response: ServerResponse, status: number, body = ''): void {
  response.writeHead(status, { 'content-length': Buffer.byteLength(body) }).end(body)
}
