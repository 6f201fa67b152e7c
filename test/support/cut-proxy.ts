import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A proxy for TCP connections, which breaks them. */
export interface CutProxy {
  readonly port: number
  /** Bytes that it has passed on, of all connections. */
  readonly passed: { sent: number; received: number }
  connections(): number
  /** Breaks all connections by a reset, as a failed network or a restarted load balancer does. */
  cut(): void
  /** Passes on nothing more of the connections that are open, without closing them. */
  stall(): void
  /** Accepts no connections until `restore`. */
  refuse(): void
  restore(): void
  close(): Promise<void>
}

export async function startCutProxy(port: number, host = '127.0.0.1'): Promise<CutProxy> {
  const open = new Set<Socket>()
  const passed = { sent: 0, received: 0 }
  let isRefusing = false
  const server = createServer((inner) => {
    if (isRefusing) return void inner.resetAndDestroy()
    const outer = connect(port, host)
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      open.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        open.delete(socket)
        other.destroy()
      })
    }
    inner.on('data', ({ length }: Buffer) => {
      passed.sent += length
    })
    outer.on('data', ({ length }: Buffer) => {
      passed.received += length
    })
    inner.pipe(outer)
    outer.pipe(inner)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of open) socket.resetAndDestroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    passed,
    connections: () => open.size / 2,
    cut,
    stall: () => {
      for (const socket of open) socket.unpipe().pause()
    },
    refuse: () => {
      isRefusing = true
    },
    restore: () => {
      isRefusing = false
    },
    close: async () => {
      cut()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}
