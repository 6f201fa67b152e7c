import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import {
  createTunnelServer,
  openTunnel,
  type Tunnel,
  type TunnelOptions,
  type TunnelServer,
  type TunnelState,
} from '../../src/tunnel/tunnel.ts'
import { type CutProxy, startCutProxy } from './cut-proxy.ts'

/** A tunnel over TCP connections that can be broken, to a server of the test's. */
export interface TunnelScene {
  readonly tunnel: Tunnel
  readonly server: TunnelServer
  readonly proxy: CutProxy
  readonly states: readonly TunnelState[]
  /** Each connection that the tunnel's end makes to the registry. */
  readonly dialed: readonly Socket[]
  readonly violations: readonly Error[]
}

type Options = Partial<TunnelOptions> & {
  readonly serve: (socket: Socket) => void
  readonly serverOutage?: number
  readonly serverVersion?: string
  readonly reserve?: (bytes: number) => (() => void) | undefined
}

export const quickPauses = { first: 5, max: 50 }

export async function openTunnelScene(t: TestContext, options: Options): Promise<TunnelScene> {
  const { serve, serverOutage, serverVersion = '1.0.0', keepAlive, reserve } = options
  const registry = await listenFor(t, serve)
  const dialed: Socket[] = []
  const violations: Error[] = []
  const server = createTunnelServer({
    version: serverVersion,
    registry: () => ({ scheme: 'http', hosted: ['local'] }),
    dial: () => {
      const socket = connect({ port: portOf(registry), host: '127.0.0.1', allowHalfOpen: true })
      dialed.push(socket)
      return socket
    },
    ...(serverOutage !== undefined && { maxOutage: serverOutage }),
    ...(keepAlive && { keepAlive }),
    ...(reserve && { reserve }),
    onError: (error) => violations.push(error),
  })
  t.after(server.close)
  const links = await listenFor(t, server.accept)
  const proxy = await startCutProxy(portOf(links))
  t.after(proxy.close)
  const states: TunnelState[] = []
  const tunnel = await openTunnel({
    version: '1.0.0',
    pauses: quickPauses,
    connect: () => connectTo(proxy.port),
    onState: (state) => states.push(state),
    ...options,
  })
  t.after(() => tunnel.close())
  return { tunnel, server, proxy, states, dialed, violations }
}

export async function connectTo(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  await once(socket, 'connect')
  socket.on('error', () => {})
  return socket
}

/** Closed after the test, with its connections. */
export async function listenFor(t: TestContext, accept: (socket: Socket) => void): Promise<Server> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    accept(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return server
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}
