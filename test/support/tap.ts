import { connect, createServer } from 'node:net'

/** A relay to a port of localhost, which looks at how each connection begins. */
export interface Tap {
  /** `localhost:PORT` */
  readonly host: string
  /** Connections that began with a TLS handshake, and others. */
  readonly begun: { readonly tls: number; readonly plain: number }
  close(): void
}

const handshake = 0x16

export async function startTap(host: string): Promise<Tap> {
  const begun = { tls: 0, plain: 0 }
  const [, port] = host.split(':')
  const server = createServer((socket) => {
    const other = connect(Number(port), 'localhost')
    socket.once('data', (bytes) => {
      begun[bytes[0] === handshake ? 'tls' : 'plain'] += 1
    })
    socket.on('error', () => other.destroy())
    other.on('error', () => socket.destroy())
    socket.pipe(other).pipe(socket)
  })
  const listening = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', listening.resolve)
  await listening.promise
  const address = server.address()
  return {
    host: `localhost:${typeof address === 'object' ? address?.port : 0}`,
    begun,
    close: () => server.close(),
  }
}
