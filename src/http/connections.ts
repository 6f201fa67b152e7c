import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

/** The connections of one service, and which of them wait for an answer. */
export interface Connections {
  /** One that can carry requests; beyond the limit it is surplus. */
  add(socket: Socket): void
  isSurplus(socket: Socket): boolean
  /** An answer begins. */
  begin(socket: Socket, answer: ServerResponse): void
  /** Whether bytes of an answer may still be on their way. */
  isAnswering(socket: Duplex): boolean
  /** Closes those whose answers have all been given. */
  closeIdle(): void
}

export function createConnections(most: number): Connections {
  const open = new Set<Socket>()
  const surplus = new WeakSet<Socket>()
  /** The last of each, which ends after those before it. */
  const answers = new WeakMap<Duplex, ServerResponse>()

  const isAnswering = (socket: Duplex): boolean => answers.get(socket)?.writableFinished === false

  return {
    add: (socket) => {
      if (open.size >= most) surplus.add(socket)
      open.add(socket)
      socket.once('close', () => open.delete(socket))
    },
    isSurplus: (socket) => surplus.has(socket),
    begin: (socket, answer) => void answers.set(socket, answer),
    isAnswering,
    closeIdle: () => {
      for (const socket of open)
        if (answers.has(socket) && !isAnswering(socket)) socket.destroySoon()
    },
  }
}
