import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Release, Reservations } from '../memory/memory.ts'
import type { Content, Piece } from '../oci/content.ts'
import { createBuffers } from './buffers.ts'
import { type DisconnectWatch, watchDisconnect } from './disconnect.ts'
import { ClientDisconnected, type FileRange, writeAll } from './file-range.ts'
import type { ByteRange } from './range.ts'
import { minBytes, sendByKernel } from './send-by-kernel.ts'
import { sendByReading } from './send-by-reading.ts'
import type { Sendfile } from './sendfile/sendfile.ts'

/**
 * In milliseconds. A client that reads nothing for so long is disconnected; containerd has the same limit
 * for registries.
 */
const defaultIdleTimeout = 300_000

/** A range of a content, and the bytes to send in front of it. */
export type Part = ByteRange & { readonly preamble?: Buffer }

/** Buffers in memory at once: with TLS, one is encrypted while the next is read. */
const buffersOf = { plain: 1, tls: 3 } as const

/** In bytes, and the share of the memory up to which buffers of this size are used. */
const bufferSizes = [
  { bufferSize: 256 * 1024, share: 1 / 2 },
  { bufferSize: 64 * 1024, share: 3 / 4 },
  { bufferSize: 16 * 1024, share: 1 },
] as const

/**
 * Reserves memory to send a content of `size` bytes, for smaller buffers when memory is short: more clients are
 * served, each slower. Undefined when not even that is free.
 */
export function reserveToSend(
  memory: Reservations,
  size: number,
  socket: Socket,
): { readonly bufferSize: number; readonly release: Release } | undefined {
  const count = buffersOf['encrypted' in socket ? 'tls' : 'plain']
  for (const { bufferSize, share } of bufferSizes) {
    const bytes = count * Math.min(size, bufferSize)
    const release = memory.used() + bytes > share * memory.max ? undefined : memory.reserve(bytes)
    if (release !== undefined) return { bufferSize, release }
  }
  return undefined
}

type SendOptions = {
  readonly response: ServerResponse
  readonly content: Content
  /** The piece at the start of the first part. */
  readonly piece: Piece | Promise<Piece>
  /** At least one, in ascending order. */
  readonly parts: readonly Part[]
  /** Bytes to send after the last part. */
  readonly epilogue?: Buffer | undefined
  /** Of buffers for file reads, in bytes. */
  readonly bufferSize: number
}

/**
 * Sends parts of a content as the body of a response, whose headers are written already, and ends the
 * response. False when the client disconnects before the end; rejects when the content fails. In both
 * cases it destroys the connection, since the client would read what follows as the rest of the body.
 * Calls `onSent` with the number of bytes of each write.
 */
export type Send = (options: SendOptions, onSent: (bytes: number) => void) => Promise<boolean>

/** Resolves when the kernel has taken what was written. Mostly it has already, and Node says so in a tick. */
async function flush(socket: Socket): Promise<void> {
  if (socket.writableLength > 0) await new Promise(process.nextTick)
  if (socket.writableLength > 0) await writeAll(socket, Buffer.alloc(0))
}

/** How far a piece of a file, and what may follow it, are sent: at most up to `until`. */
function endOf(piece: Extract<Piece, { kind: 'file' }>, until: number) {
  if (piece.end >= until || piece.rest === undefined) return { until: Math.min(piece.end, until) }
  const end = Math.min(piece.rest.end, until)
  return { until: piece.end, rest: { ...piece.rest, end } }
}

/** Uses sendfile(2) where there is one and no TLS; else reads files into memory. */
export function createSend(sendfile: Sendfile | undefined, idleTimeout = defaultIdleTimeout): Send {
  const buffers = createBuffers()

  // While the response to an earlier request is in progress, Node does not call back pending writes when
  // the connection closes: writes are not awaited after that.
  const sendFile = async (
    response: ServerResponse,
    range: FileRange,
    bufferSize: number,
    { orDisconnected }: DisconnectWatch,
  ): Promise<void> => {
    const { socket } = response
    let { position } = range
    const isLarge = (range.rest?.end ?? range.until) - position >= minBytes
    if (sendfile !== undefined && socket !== null && isLarge) {
      await orDisconnected(flush(socket))
      position = await sendByKernel(range, sendfile, socket)
    }
    if (position < range.until)
      await orDisconnected(sendByReading(response, { ...range, position }, { buffers, bufferSize }))
  }

  return async ({ response, content, piece, parts, epilogue, bufferSize }, onSent) => {
    const disconnect = watchDisconnect(response)
    response.setTimeout(idleTimeout, () => response.destroy())
    let position = 0
    const count = (bytes: number) => {
      position += bytes
      onSent(bytes)
      // Node's idle timeout does not see bytes that bypass its stream.
      response.socket?.setTimeout(idleTimeout)
    }
    const sendPiece = async (next: Piece, until: number): Promise<void> => {
      if (next.kind === 'file') {
        const range = { file: next.fd, position, ...endOf(next, until), onSent: count }
        return sendFile(response, range, bufferSize, disconnect)
      }
      const bytes = next.bytes.subarray(0, until - position)
      await disconnect.orDisconnected(writeAll(response, bytes))
      count(bytes.length)
    }
    /** The idle timeout is off while the content is waited for: the client has nothing to read. */
    const waitForPiece = async (work: Piece | Promise<Piece>): Promise<Piece> => {
      if (!(work instanceof Promise)) return work
      response.setTimeout(0)
      try {
        return await disconnect.orDisconnected(work)
      } finally {
        response.setTimeout(idleTimeout)
      }
    }
    const sendPart = async (
      { first, last, preamble }: Part,
      begin?: Piece | Promise<Piece>,
    ): Promise<void> => {
      if (preamble !== undefined) await disconnect.orDisconnected(writeAll(response, preamble))
      position = first
      for (let pending = begin; position <= last; pending = undefined) {
        const next = await waitForPiece(pending ?? content.next(position, last + 1))
        await sendPiece(next, last + 1)
      }
    }
    try {
      for (const [at, part] of parts.entries()) await sendPart(part, at === 0 ? piece : undefined)
      if (epilogue !== undefined) await disconnect.orDisconnected(writeAll(response, epilogue))
    } catch (error) {
      response.destroy()
      if (error instanceof ClientDisconnected) return false
      throw error
    } finally {
      disconnect.stop()
    }
    response.end()
    return true
  }
}
