import type { IncomingMessage } from 'node:http'
import type { Chunks } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'

/** In bytes, until reading from the socket is paused. */
const maxPending = 256 * 1024
/** One read from the socket, as Node's HTTP parser hands it on. */
const socketRead = 64 * 1024

/**
 * Bytes of memory that a body takes at most: chunks that are being written, chunks that wait, and one
 * read in the buffer of the paused stream.
 */
export const maxBodyMemory = 2 * (maxPending + socketRead) + socketRead

/** The chunks of a request body as they arrive. */
export interface Arrivals {
  /**
   * All chunks that have arrived since the last call, at least one; undefined at the end of the body.
   * Rejects when the client closes the connection, once all that arrived has been returned.
   */
  next(): Promise<Chunks | undefined>
  /** Stops reading. The rest of the body, if any, is left to `discardRest`. */
  stop(): void
}

/**
 * Collects chunks while the consumer works on the last ones, up to a limit. Chunks are not joined, which
 * would copy them.
 */
export function collectArrivals(request: IncomingMessage): Arrivals {
  let chunks: Buffer[] = []
  let size = 0
  let outcome: 'open' | 'ended' | 'broken' = request.destroyed ? 'broken' : 'open'
  let wake = () => {}

  const onData = (chunk: Buffer): void => {
    chunks.push(chunk)
    size += chunk.length
    if (size >= maxPending) request.pause()
    wake()
  }
  const settle = (as: 'ended' | 'broken') => (): void => {
    if (outcome === 'open') outcome = as
    wake()
  }
  const listeners = {
    data: onData,
    end: settle('ended'),
    error: settle('broken'),
    close: settle('broken'),
  }
  for (const [event, listener] of Object.entries(listeners)) request.on(event, listener)

  const take = (): Chunks => {
    const taken = chunks
    chunks = []
    size = 0
    if (outcome === 'open') request.resume()
    return taken
  }

  return {
    next: async () => {
      if (chunks.length === 0 && outcome === 'open') {
        const { promise, resolve } = Promise.withResolvers<void>()
        wake = resolve
        await promise
      }
      if (chunks.length > 0) return take()
      if (outcome === 'broken') throw brokenOff()
      return undefined
    },
    stop: () => {
      for (const [event, listener] of Object.entries(listeners)) request.off(event, listener)
      request.pause()
    },
  }
}

function brokenOff(): RegistryError {
  return new RegistryError('BLOB_UPLOAD_INVALID', {
    message: 'the client closed the connection before the end of the request body',
  })
}
