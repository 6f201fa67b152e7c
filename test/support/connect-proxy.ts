import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** A company's forward proxy: tunnels with CONNECT, and passes plain requests on. */
export interface ConnectProxy {
  /** `http://127.0.0.1:port`. */
  readonly url: string
  /** The requests: `CONNECT host:port`, or `GET http://…`. */
  readonly requests: readonly string[]
  /** The `Proxy-Authorization` of each. */
  readonly authorizations: readonly (string | undefined)[]
  close(): Promise<void>
}

type ConnectProxyOptions = {
  /** The address to connect to for a `host:port` (default: the same). */
  readonly route?: (target: string) => { readonly host: string; readonly port: number }
  /** The required credential; other clients get no 200. */
  readonly wants?: string
  /** Answers a CONNECT instead of the proxy. */
  readonly onConnect?: (socket: Duplex) => void
}

export async function startConnectProxy(options: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const { route = parseTarget, wants, onConnect } = options
  const requests: string[] = []
  const authorizations: (string | undefined)[] = []
  const sockets = new Set<Socket>()

  const note = ({ method, url, headers }: IncomingMessage): boolean => {
    requests.push(`${method} ${url}`)
    authorizations.push(headers['proxy-authorization'])
    return wants === undefined || headers['proxy-authorization'] === wants
  }

  const server = createServer((request, response) => {
    if (!note(request)) return void response.writeHead(407).end()
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"tags":["by-proxy"]}')
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.on('connect', (request: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => {})
    const isLetIn = note(request)
    if (onConnect !== undefined) return onConnect(socket)
    if (!isLetIn) return socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    const { host, port } = route(request.url ?? '')
    const there = connect(port, host, () => {
      socket.write('HTTP/1.1 200 Connected\r\n\r\n')
      there.pipe(socket).pipe(there)
    })
    there.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'))
    socket.on('close', () => there.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0

  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    authorizations,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

function parseTarget(target: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(`http://${target}`)
  return { host: hostname, port: Number(port || 80) }
}
