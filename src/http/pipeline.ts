import type { Socket } from 'node:net'

/**
 * Requests of one connection that may wait for their responses. Registry clients pipeline one at most.
 */
const maxPending = 16
/** One read from the socket may contain thousands of short requests, before reading can be paused. */
const maxPendingOfOneRead = 128

/** Limits pipelined requests: pauses reading from connections with many pending responses. */
export interface Pipeline {
  /** Counts a request; false when the connection must be closed. */
  admit(socket: Socket): boolean
  /** The response of an admitted request is closed. */
  finish(socket: Socket): void
}

/**
 * The danger: Node parses all requests that a client sends behind one that is in progress, and keeps them
 * in memory. `pause()` alone does not prevent that, since Node resumes the socket at the end of each
 * request and when a body is read; so the socket is paused again each time it resumes. Requests that
 * arrived in one read are parsed even so: a client that sends more than that is disconnected.
 */
export function createPipeline(): Pipeline {
  const connections = new WeakMap<Socket, { pending: number }>()

  const countOf = (socket: Socket): { pending: number } => {
    const known = connections.get(socket)
    if (known !== undefined) return known
    const count = { pending: 0 }
    connections.set(socket, count)
    socket.on('resume', () => {
      if (count.pending >= maxPending) socket.pause()
    })
    return count
  }

  return {
    admit: (socket) => {
      const count = countOf(socket)
      count.pending += 1
      if (count.pending >= maxPending) socket.pause()
      return count.pending <= maxPendingOfOneRead
    },
    finish: (socket) => {
      const count = countOf(socket)
      count.pending -= 1
      if (count.pending === maxPending - 1) socket.resume()
    },
  }
}
