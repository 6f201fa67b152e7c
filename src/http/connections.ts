import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Release, Reservations } from '../memory/memory.ts'

/**
 * The connections of one service. Idle connections, which wait for no response, are closed to admit new
 * ones.
 */
export interface Connections {
  /** Registers an accepted TCP connection. With TLS, another socket carries its requests. */
  accept(socket: Socket): void
  /** Registers the TLS socket of a connection after the handshake. */
  secure(carrier: Socket): void
  /** Whether it was accepted above the limit, when no connection was idle. */
  isSurplus(carrier: Socket): boolean
  /** Marks the connection as busy with a response. */
  begin(carrier: Socket, answer: ServerResponse): void
  /** The response is closed: the connection is idle, unless another response is not finished. */
  finish(carrier: Socket): void
  /** Whether a response is not completely sent. */
  isAnswering(carrier: Duplex): boolean
  /** Closes the connections that have had a request, and have no response in flight. */
  closeIdle(): void
  destroyAll(): void
}

type Connection = {
  readonly socket: Socket
  readonly peer: string
  carrier: Socket
  readonly isSurplus: boolean
  /** Releases its memory. */
  readonly release: Release
  hasAnswered: boolean
  /** The last response of the connection, until it is closed; earlier ones finish before it. */
  answer?: ServerResponse | undefined
}

type ConnectionsOptions = {
  readonly maxConnections: number
  /** Memory for connections. */
  readonly memory?: Reservations | undefined
  /** Bytes of memory that an idle connection takes. */
  readonly size: number
  /** Connections above `maxConnections` that get an error response; further ones are closed at once. */
  readonly maxSurplus: number
}

export function createConnections(options: ConnectionsOptions): Connections {
  const { maxConnections, maxSurplus, memory, size } = options
  const open = new Set<Connection>()
  /** In order of idle time, the longest first. */
  const idle = { regular: new Set<Connection>(), surplus: new Set<Connection>() }
  const byCarrier = new WeakMap<Duplex, Connection>()
  const byPeer = new Map<string, Connection>()
  let surplus = 0

  const idleOf = ({ isSurplus }: Connection) => (isSurplus ? idle.surplus : idle.regular)

  const isBusy = ({ answer }: Connection): boolean => answer?.writableFinished === false

  const forget = (connection: Connection): void => {
    if (!open.delete(connection)) return
    connection.release()
    idleOf(connection).delete(connection)
    if (connection.isSurplus) surplus -= 1
    if (byPeer.get(connection.peer) === connection) byPeer.delete(connection.peer)
  }

  /** Closes the connection that has been idle longest; false when none is idle. */
  const makeRoom = (among: Set<Connection>): boolean => {
    const [connection] = among
    if (connection === undefined) return false
    forget(connection)
    connection.socket.destroy()
    return true
  }

  const admit = (socket: Socket): boolean => {
    if (open.size - surplus >= maxConnections) return false
    const release = memory === undefined ? () => {} : memory.reserve(size)
    if (release === undefined) return false
    add(socket, { isSurplus: false, release })
    return true
  }

  const add = (socket: Socket, properties: Pick<Connection, 'isSurplus' | 'release'>): void => {
    const { isSurplus } = properties
    const connection: Connection = {
      socket,
      peer: peerOf(socket),
      carrier: socket,
      hasAnswered: false,
      ...properties,
    }
    open.add(connection)
    idleOf(connection).add(connection)
    byCarrier.set(socket, connection)
    byPeer.set(connection.peer, connection)
    if (isSurplus) surplus += 1
    socket.once('close', () => forget(connection))
  }

  return {
    accept: (socket) => {
      if (admit(socket) || (makeRoom(idle.regular) && admit(socket))) return
      if (surplus < maxSurplus || makeRoom(idle.surplus))
        add(socket, { isSurplus: true, release: () => {} })
      else socket.destroy()
    },
    secure: (carrier) => {
      const connection = byPeer.get(peerOf(carrier))
      if (connection === undefined) return void carrier.destroy()
      connection.carrier = carrier
      byCarrier.set(carrier, connection)
    },
    isSurplus: (carrier) => byCarrier.get(carrier)?.isSurplus ?? false,
    begin: (carrier, answer) => {
      const connection = byCarrier.get(carrier)
      if (connection === undefined) return
      connection.answer = answer
      connection.hasAnswered = true
      idleOf(connection).delete(connection)
    },
    finish: (carrier) => {
      const connection = byCarrier.get(carrier)
      if (connection === undefined || isBusy(connection)) return
      // Otherwise it would survive some collections of young garbage, with all that belongs to its request.
      connection.answer = undefined
      if (open.has(connection)) idleOf(connection).add(connection)
    },
    isAnswering: (carrier) => {
      const connection = byCarrier.get(carrier)
      return connection !== undefined && isBusy(connection)
    },
    closeIdle: () => {
      for (const connection of open)
        if (connection.hasAnswered && !isBusy(connection)) connection.carrier.destroySoon()
    },
    destroyAll: () => {
      for (const { socket } of open) socket.destroy()
    },
  }
}

/** Equal for the TCP socket and the TLS socket of one connection only. */
function peerOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`
}
