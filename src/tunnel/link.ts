import type { Duplex } from 'node:stream'
import { createFrameParser, encodeFrame, type Frame } from './frame.ts'
import { discard, track } from './read-bytes.ts'
import { TunnelError } from './tunnel-error.ts'

/** Milliseconds. */
export type KeepAlive = {
  /** Silence after which the other end is asked whether it is there. */
  readonly interval: number
  /** Silence after which the link counts as broken. */
  readonly timeout: number
}

const defaultKeepAlive: KeepAlive = { interval: 10_000, timeout: 30_000 }

/** Frames over one pair of byte streams, such as those of one exec. It breaks, and another one replaces it. */
export interface Link {
  /** False: what is written now is kept in memory until `onDrain`. */
  isWritable(): boolean
  send(frame: Buffer): void
  /** Frames that are sent before `uncork` follow each other in one write. */
  cork(): void
  uncork(): void
  /** Ends it after what was sent. */
  end(): void
  destroy(reason: Error): void
}

type LinkOptions = {
  readonly keepAlive?: KeepAlive | undefined
  readonly onFrame: (frame: Frame) => void
  readonly onDrain: () => void
  /** Once. No frame follows. */
  readonly onClose: (reason: Error) => void
}

/** An error that `onFrame` throws ends the link. */
export function createLink(
  bytes: Duplex,
  { keepAlive = defaultKeepAlive, onFrame, onDrain, onClose }: LinkOptions,
): Link {
  let isClosed = false
  let lastArrival = performance.now()

  const close = (reason: Error): void => {
    if (isClosed) return
    isClosed = true
    clearInterval(timer)
    bytes.destroy()
    onClose(reason)
  }
  const send = (frame: Buffer): void => {
    if (!isClosed && bytes.writable) bytes.write(frame)
  }
  const parse = createFrameParser((frame) => {
    if (isClosed) return
    if (frame.type === 'ping') send(encodeFrame('pong', 0))
    else if (frame.type !== 'pong') onFrame(frame)
  })
  const timer = setInterval(() => {
    const silence = performance.now() - lastArrival
    if (silence >= keepAlive.timeout)
      close(new TunnelError(`no answer for ${Math.round(silence / 1000)} s`))
    else if (silence >= keepAlive.interval) send(encodeFrame('ping', 0))
  }, keepAlive.interval / 2).unref()

  bytes.on('data', (chunk: Buffer) => {
    lastArrival = performance.now()
    track(chunk)
    try {
      if (!isClosed) parse(chunk)
    } catch (error) {
      close(error instanceof Error ? error : new TunnelError(String(error)))
    }
    discard(chunk)
  })
  bytes.on('drain', () => {
    if (!isClosed) onDrain()
  })
  bytes.on('error', close)
  bytes.on('end', () => close(new TunnelError('the other end closed the connection')))
  bytes.on('close', () => close(new TunnelError('the connection was closed')))

  return {
    isWritable: () => !isClosed && !bytes.writableNeedDrain,
    send,
    cork: () => bytes.cork(),
    uncork: () => bytes.uncork(),
    end: () => {
      if (!isClosed) bytes.end()
    },
    destroy: close,
  }
}
