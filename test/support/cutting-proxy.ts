import { connect, createServer, type Socket } from 'node:net'

/** A TCP proxy that breaks connections where a test wants it, and counts what clients sent. */
export interface CuttingProxy {
  /** `127.0.0.1:PORT` */
  readonly host: string
  /** Bytes from clients, headers included. */
  received(): number
  /** Breaks the connection on which so many more bytes arrive, in total, for each number once. */
  cutAt(...bytes: readonly number[]): void
  /** Breaks all connections that are open now. */
  cutAll(): void
  /** How often a connection was broken by `cutAt`. */
  cuts(): number
  /** Connects to another port from now on. */
  redirect(port: number): void
  close(): Promise<void>
}

export async function startCuttingProxy(target: number): Promise<CuttingProxy> {
  const open = new Set<Socket>()
  const points: number[] = []
  let port = target
  let received = 0
  let cuts = 0

  const keep = (socket: Socket, end: () => void) => {
    open.add(socket)
    socket.on('error', end)
    socket.on('close', () => {
      open.delete(socket)
      end()
    })
  }

  const server = createServer((client) => {
    const registry = connect(port, '127.0.0.1')
    const end = () => {
      client.destroy()
      registry.destroy()
    }
    keep(client, end)
    keep(registry, end)
    registry.pipe(client)
    client.on('data', (bytes) => {
      received += bytes.length
      const [point] = points
      if (point !== undefined && received >= point) {
        points.shift()
        cuts += 1
        // The registry gets what came before, as over a network.
        registry.end(bytes.subarray(0, bytes.length - (received - point)), () => registry.destroy())
        client.resetAndDestroy()
        return
      }
      if (!registry.write(bytes)) {
        client.pause()
        registry.once('drain', () => client.resume())
      }
    })
  })
  const listening = Promise.withResolvers<void>()
  server.listen(0, '127.0.0.1', listening.resolve)
  await listening.promise
  const address = server.address()

  return {
    host: `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    received: () => received,
    cutAt: (...bytes) => {
      points.push(...bytes.map((each) => received + each).toSorted((a, b) => a - b))
    },
    cutAll: () => {
      for (const socket of open) socket.resetAndDestroy()
    },
    cuts: () => cuts,
    redirect: (next) => {
      port = next
    },
    close: async () => {
      const closed = Promise.withResolvers<void>()
      server.close(() => closed.resolve())
      for (const socket of open) socket.destroy()
      await closed.promise
    },
  }
}
