import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Requests of one connection that may wait for their responses. Registry clients pipeline one at most.
 */
const maxPending = 16
/** One read from the socket may contain thousands of short requests, before reading can be paused. */
const maxPendingOfOneRead = 128

/** Limits pipelined requests: pauses reading from connections with many pending responses. */
export interface Pipeline {
  /** Counts a request until its response is closed; false when the connection must be closed. */
  admit(socket: Socket, answer: ServerResponse): boolean
}

/**
 * The danger: Node parses all requests that a client sends behind one that is in progress, and keeps them
 * in memory. `pause()` alone does not prevent that, since Node resumes the socket at the end of each
 * request and when a body is read; so the socket is paused again each time it resumes. Requests that
 * arrived in one read are parsed even so: a client that sends more than that is disconnected.
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
