import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Requests of one connection that may wait for their answers. No client of registries sends more than
 * one ahead.
 */
const maxPending = 16
/** One read from the network brings thousands of short requests, before reading can be stopped. */
const maxPendingOfOneRead = 128

/** Stops reading from connections whose answers wait. */
export interface Pipeline {
  /** Counts a request until its answer is done with; false when its connection has to be closed. */
  admit(socket: Socket, answer: ServerResponse): boolean
}

/**
 * The danger: Node parses whatever a client sends behind a request that is being answered, and keeps
 * it all. `pause()` alone does not stop it, since the end of each request, and whoever reads its body,
 * resumes the socket; so it is paused again whenever it resumes. What one read has brought is parsed
 * all the same: a client that sends so many requests at once loses the connection.
 */
export function createPipeline(): Pipeline {
  const pending = new WeakMap<Socket, number>()

  const count = (socket: Socket): number => pending.get(socket) ?? 0

  const pauseIfFull = (socket: Socket): void => {
    if (count(socket) >= maxPending) socket.pause()
  }

  const finish = (socket: Socket): void => {
    pending.set(socket, count(socket) - 1)
    if (count(socket) === maxPending - 1) socket.resume()
  }

  return {
    admit: (socket, answer) => {
      if (!pending.has(socket)) socket.on('resume', () => pauseIfFull(socket))
      pending.set(socket, count(socket) + 1)
      answer.once('close', () => finish(socket))
      pauseIfFull(socket)
      return count(socket) <= maxPendingOfOneRead
    },
  }
}
