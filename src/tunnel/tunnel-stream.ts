import { Duplex } from 'node:stream'
import {
  encodeFrame,
  encodeNumber,
  type Frame,
  maxPayload,
  payloadOf,
  readNumber,
} from './frame.ts'
import type { Allocate } from './frame-buffers.ts'
import { retain } from './read-bytes.ts'
import { TunnelError, violation } from './tunnel-error.ts'
import { baseWindow } from './windows.ts'

/** One stream of a tunnel, as a socket for its user. */
export interface TunnelStream {
  readonly duplex: Duplex
  /** The other end knows it from now on, or gets to know it. */
  start(): void
  /** The next frame with data, if there is data and credit for it. */
  take(allocate: Allocate): Buffer | undefined
  hasData(): boolean
  /** A frame of this stream arrived. */
  receive(frame: Frame): void
  /** Bytes that the other end may send, and those that are not read yet. */
  held(): number
}

type StreamOptions = {
  readonly id: number
  readonly send: (frame: Buffer) => void
  /** There is data, or credit for it. */
  readonly onReady: () => void
  /** Bytes that `held` may reach. */
  readonly window: () => number
  readonly onClose: () => void
}

type Write = { readonly bytes: Buffer; readonly done: (error?: Error | null) => void }

/** Less than half of the smallest window: `read` must be called while credit can be granted. */
const readableHighWaterMark = baseWindow / 4
const writableHighWaterMark = 64 * 1024

/**
 * A Duplex with a window for each direction:
 * - A write is done when all of it is in frames, for which the other end has granted credit.
 * - Credit is granted when the reader wants more, for what it has read.
 * - `end` closes one direction. `destroy` resets both, unless both have ended.
 */
export function createTunnelStream(options: StreamOptions): TunnelStream {
  const { id, send, onReady, window, onClose } = options
  let writing: (Write & { sent: number }) | undefined
  let credit = 0
  /** Bytes that the other end may still send. */
  let granted = baseWindow
  let received = 0
  let isStarted = false
  let hasSentEnd = false
  let hasReceivedEnd = false

  const held = (): number => granted + duplex.readableLength

  const grant = (): void => {
    if (hasReceivedEnd || duplex.destroyed) return
    // A stream of short messages needs no more than the others leave.
    const size = received < baseWindow / 2 ? baseWindow : window()
    const more = size - held()
    if (more < size / 4) return
    granted += more
    send(encodeNumber('credit', id, more))
  }

  const duplex = new Duplex({
    allowHalfOpen: true,
    readableHighWaterMark,
    writableHighWaterMark,
    // `read` is called before the reader takes what is buffered, which counts until then.
    read: () => process.nextTick(grant),
    write: (bytes: Buffer, _encoding, done) => {
      if (bytes.length === 0) return done()
      writing = { bytes, done, sent: 0 }
      onReady()
    },
    final: (done) => {
      hasSentEnd = true
      send(encodeFrame('end', id))
      done()
    },
    destroy: (error, done) => {
      const { done: written } = writing ?? {}
      writing = undefined
      if (isStarted && !(hasSentEnd && hasReceivedEnd))
        send(encodeFrame('reset', id, Buffer.from(error?.message ?? '').subarray(0, 1024)))
      onClose()
      written?.(error ?? new TunnelError('the stream was closed'))
      done(error)
    },
  })

  const receiveData = (parts: readonly Buffer[]): void => {
    const bytes = parts.reduce((sum, { length }) => sum + length, 0)
    if (bytes > granted) throw violation(`the other end sent more than stream ${id} may hold`)
    granted -= bytes
    received += bytes
    if (hasReceivedEnd || duplex.destroyed) return
    for (const part of parts) {
      const kept = duplex.readableLength === 0 ? part : owned(part)
      retain(kept)
      duplex.push(kept)
    }
  }

  const receiveReset = (reason: string): void => {
    // It needs no answer.
    isStarted = false
    duplex.destroy(new TunnelError(reason || 'the other end closed the stream'))
  }

  return {
    duplex,
    start: () => {
      isStarted = true
      credit = baseWindow
      onReady()
    },
    take: (allocate) => {
      if (writing === undefined || credit === 0) return undefined
      const { bytes, sent, done } = writing
      const length = Math.min(bytes.length - sent, credit, maxPayload)
      const frame = encodeFrame('data', id, bytes.subarray(sent, sent + length), allocate)
      credit -= length
      writing.sent += length
      if (writing.sent === bytes.length) {
        writing = undefined
        done()
      }
      return frame
    },
    hasData: () => writing !== undefined && credit > 0,
    receive: (frame) => {
      switch (frame.type) {
        case 'data':
          return receiveData(frame.parts)
        case 'credit':
          credit += readNumber(frame)
          return onReady()
        case 'end':
          hasReceivedEnd = true
          if (!duplex.destroyed) duplex.push(null)
          return
        case 'reset':
          return receiveReset(payloadOf(frame).toString('utf8'))
        default:
          throw violation(`a stream has no ${frame.type} frames`)
      }
    },
    held,
  }
}

/** A small part of what was read at once would keep all of it in memory while a slow reader waits. */
function owned(part: Buffer): Buffer {
  return part.length < part.buffer.byteLength / 2 ? Buffer.from(part) : part
}
