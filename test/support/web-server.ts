import type { ServerResponse } from 'node:http'
import type { KeyPair } from './certificates.ts'
import { type FakeServer, type Handler, type Recorded, startFakeServer } from './fake-server.ts'

export type Seen = Recorded
export type Answering = Handler

/** A server whose response a test changes. */
export interface WebServer
  extends Pick<FakeServer, 'url' | 'host' | 'port' | 'requests' | 'connections'> {
  /** Requests whose line, `GET /token?…`, contains the text. */
  count(text: string): number
  /** Responds like this from now on. */
  answer(handler: Handler): void
  close(): Promise<void>
}

type WebServerOptions = {
  readonly host?: string
  readonly port?: number
  readonly tls?: KeyPair
}

export async function startWebServer(
  first: Handler,
  { host, port, tls }: WebServerOptions = {},
): Promise<WebServer> {
  let handler = first
  const server = await startFakeServer((request, response) => handler(request, response), {
    address: host,
    port,
    tls,
  })
  return {
    ...server,
    count: (text) =>
      server.requests.filter(({ method, path }) => `${method} ${path}`.includes(text)).length,
    answer: (next) => {
      handler = next
    },
    close: server.stop,
  }
}

/** A JSON response of a registry. */
export function sendJson(response: ServerResponse, value: unknown, status = 200): void {
  const registry = { 'docker-distribution-api-version': 'registry/2.0' }
  response.writeHead(status, { 'content-type': 'application/json', ...registry })
  response.end(JSON.stringify(value))
}
