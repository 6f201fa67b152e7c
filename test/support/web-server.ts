import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { KeyPair } from './certificates.ts'

/** What a request was. */
export type Seen = {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** Answers one request. */
export type Answering = (seen: Seen, response: ServerResponse) => void | Promise<void>

/** A small real server, for whatever stands around a registry: token endpoints, clouds, storage. */
export interface WebServer {
  readonly url: string
  /** `host:port`. */
  readonly host: string
  readonly port: number
  /** All requests so far. */
  readonly requests: readonly Seen[]
  /** Connections that were opened, and those that are open. */
  readonly connections: { readonly opened: number; readonly open: number }
  /** Requests whose line, `GET /token?…`, contains the text. */
  count(text: string): number
  /** Answers like this from now on. */
  answer(answering: Answering): void
  close(): Promise<void>
}

type WebServerOptions = {
  readonly host?: string
  readonly port?: number
  readonly tls?: KeyPair
}

export async function startWebServer(
  first: Answering,
  { host = '127.0.0.1', port: wanted = 0, tls }: WebServerOptions = {},
): Promise<WebServer> {
  const requests: Seen[] = []
  const connections = { opened: 0, open: 0 }
  let answering = first

  const listener = async (request: IncomingMessage, response: ServerResponse) => {
    const { method = '', url = '', headers } = request
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const seen = { method, path: url, headers, body: Buffer.concat(chunks).toString('utf8') }
    requests.push(seen)
    await answering(seen, response)
  }
  const server =
    tls === undefined
      ? createServer((request, response) => void listener(request, response))
      : createTlsServer(
          { cert: tls.certificate, key: tls.key },
          (request, response) => void listener(request, response),
        )
  server.on('connection', (socket) => {
    connections.opened += 1
    connections.open += 1
    socket.on('close', () => {
      connections.open -= 1
    })
  })
  await new Promise<void>((resolve) => server.listen(wanted, host, resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0

  return {
    url: `${tls === undefined ? 'http' : 'https'}://${host}:${port}`,
    host: `${host}:${port}`,
    port,
    requests,
    connections,
    count: (text) =>
      requests.filter(({ method, path }) => `${method} ${path}`.includes(text)).length,
    answer: (next) => {
      answering = next
    },
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

/** A JSON answer. */
export function sendJson(response: ServerResponse, value: unknown, status = 200): void {
  const registry = { 'docker-distribution-api-version': 'registry/2.0' }
  response.writeHead(status, { 'content-type': 'application/json', ...registry })
  response.end(JSON.stringify(value))
}
