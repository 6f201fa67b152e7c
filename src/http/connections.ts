import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Release, Reservations } from '../memory/memory.ts'

/**
 * The connections of one service, and which of them wait for an answer. Those that do not, silent ones
 * above all, give way to new ones.
 */
export interface Connections {
  /** One was accepted; where TLS is in between, another socket will carry its requests. */
  accept(socket: Socket): void
  /** TLS is set up. */
  secure(carrier: Socket): void
  /** Whether it came when all others waited for answers. */
  isSurplus(carrier: Socket): boolean
  /** An answer begins. */
  begin(carrier: Socket, answer: ServerResponse): void
  /** Whether bytes of an answer may still be on their way. */
  isAnswering(carrier: Duplex): boolean
  /** Closes those whose answers have all been given. */
  closeIdle(): void
  destroyAll(): void
}

type Connection = {
  readonly socket: Socket
  readonly peer: string
  carrier: Socket
  readonly isSurplus: boolean
  /** Of its memory. */
  readonly release: Release
  /** The last one, which ends after those before it. */
  answer?: ServerResponse
}

type ConnectionsOptions = {
  readonly maxConnections: number
  /** What each takes its memory from, and how many bytes while it is idle. */
  readonly memory?: Reservations | undefined
  readonly size: number
  /** Beyond those, and refused by an answer; yet more are closed at once. */
  readonly maxSurplus: number
}

export function createConnections(options: ConnectionsOptions): Connections {
  const { maxConnections, maxSurplus, memory, size } = options
  const open = new Set<Connection>()
  /** Regular ones and surplus ones that wait for no answer, the longest idle first. */
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

  /** Closes the one that is idle longest; false when none is. */
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

  const add = (socket: Socket, of: Pick<Connection, 'isSurplus' | 'release'>): void => {
    const { isSurplus } = of
    const connection: Connection = { socket, peer: peerOf(socket), carrier: socket, ...of }
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
      idleOf(connection).delete(connection)
      answer.once('close', () => {
        if (open.has(connection) && !isBusy(connection)) idleOf(connection).add(connection)
      })
    },
    isAnswering: (carrier) => {
      const connection = byCarrier.get(carrier)
      return connection !== undefined && isBusy(connection)
    },
    closeIdle: () => {
      for (const connection of open)
        if (connection.answer !== undefined && !isBusy(connection)) connection.carrier.destroySoon()
    },
    destroyAll: () => {
      for (const { socket } of open) socket.destroy()
    },
  }
}

/** Tells a TLS connection's two sockets from all others. */
function peerOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`
}
