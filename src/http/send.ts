import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Content, Piece } from '../oci/content.ts'
import { bufferSize, createBuffers } from './buffers.ts'
import { watchDisconnect } from './disconnect.ts'
import { ClientDisconnected, type FileRange, writeAll } from './file-range.ts'
import type { Kernel } from './kernel.ts'
import type { ByteRange } from './range.ts'
import { plainDescriptor, sendByKernel } from './send-by-kernel.ts'
import { sendByReading } from './send-by-reading.ts'

/**
 * A client that takes nothing for so long is given up, in milliseconds; containerd gives up on us
 * after as long.
 */
const defaultIdleTimeout = 300_000

/** Bytes of a content, both included, and what goes in front of them. */
export type Part = ByteRange & { readonly preamble?: Buffer }

/** Parts of a content that are in memory at once: one over TLS is encrypted while the next is read. */
const buffersOf = { plain: 1, tls: 3 } as const

/** Bytes of memory that it takes to send a content of `size` bytes. */
export function memoryToSend(size: number, socket: Socket): number {
  return buffersOf['encrypted' in socket ? 'tls' : 'plain'] * Math.min(size, bufferSize)
}

type SendOptions = {
  readonly response: ServerResponse
  readonly content: Content
  /** The piece that begins where the first part does. */
  readonly piece: Piece | Promise<Piece>
  /** At least one, in ascending order. */
  readonly parts: readonly Part[]
  /** What follows the last part. */
  readonly epilogue?: Buffer | undefined
}

/**
 * Sends parts of a content as the body of a response whose headers, Content-Length among them,
 * are written, and ends it. False when the client left before the end; rejects when the bytes could
 * not be had. In both cases the connection is destroyed, since its client would take whatever comes
 * next for the rest of the body. `sent` is told of the bytes as they go.
 */
export type Send = (options: SendOptions, onSent: (bytes: number) => void) => Promise<boolean>

/** By the kernel where that can be had and the connection is plain, else by reading. */
export function createSend(kernel: Kernel | undefined, idleTimeout = defaultIdleTimeout): Send {
  const buffers = createBuffers()

  const sendFile = async (response: ServerResponse, range: FileRange): Promise<void> => {
    const { socket } = response
    const descriptor = socket === null ? undefined : plainDescriptor(socket)
    if (kernel === undefined || socket === null || descriptor === undefined)
      return sendByReading(response, range, buffers)
    return sendByKernel(range, { socket, descriptor, kernel, buffers })
  }

  const sendBytes = async (
    response: ServerResponse,
    bytes: Buffer,
    onSent: (bytes: number) => void,
  ): Promise<void> => {
    await writeAll(response, bytes)
    onSent(bytes.length)
  }

  return async ({ response, content, piece, parts, epilogue }, onSent) => {
    const disconnect = watchDisconnect(response)
    response.setTimeout(idleTimeout, () => response.destroy())
    let position = 0
    const count = (bytes: number) => {
      position += bytes
      onSent(bytes)
      // What goes past Node's stream is no sign of life to it.
      response.socket?.setTimeout(idleTimeout)
    }
    const sendPiece = (next: Piece, until: number): Promise<void> =>
      next.kind === 'bytes'
        ? sendBytes(response, next.bytes.subarray(0, until - position), count)
        : sendFile(response, {
            file: next.fd,
            position,
            until: Math.min(next.end, until),
            onSent: count,
          })
    /** While the content is late, that the client takes nothing says nothing of it. */
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
        // Node does not tell those who wait to write that the connection is gone while the answer to
        // an earlier request is still being sent.
        await disconnect.orDisconnected(sendPiece(next, last + 1))
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
