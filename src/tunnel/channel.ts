import type { Allowance } from './allowance.ts'
import { encodeNumber, type Frame, isReliable, readNumber } from './frame.ts'
import { type Allocate, createFrameBuffers, maxMemory, memoryOf } from './frame-buffers.ts'
import type { Link } from './link.ts'
import { violation } from './tunnel-error.ts'

/**
 * Reliable frames over one link after another, each frame once and in order:
 * 1. Both ends count the reliable frames that they have received, and acknowledge them.
 * 2. Each end keeps the frames that it sent until they are acknowledged, up to a limit of bytes.
 * 3. The first frames of a link tell how many each end has received; the rest is sent again.
 */
export interface Channel {
  /** Sends a short frame, before data that waits. */
  send(frame: Buffer): void
  /** Sends data while the link and the limit allow it. */
  pump(): void
  /** A reliable frame, or an acknowledgement, arrived. */
  receive(frame: Frame): void
  /** Reliable frames received. */
  received(): number
  /**
   * Continues over a new link.
   * @throws TunnelError if the other end has lost frames.
   */
  attach(link: Link, receivedByPeer: number): void
  detach(): void
}

type ChannelOptions = {
  /** Memory for data that is sent and not acknowledged. */
  readonly unacknowledged: Allowance
  /** The next frame with data, if there is one. */
  readonly next: (allocate: Allocate) => Buffer | undefined
  /** Handles reliable frames. */
  readonly deliver: (frame: Frame) => void
}

/** An acknowledgement is sent after so many bytes or frames, or so many milliseconds. */
const acknowledgeEach = { bytes: 256 * 1024, frames: 64, time: 200 } as const

export function createChannel({ unacknowledged: memory, next, deliver }: ChannelOptions): Channel {
  const buffers = createFrameBuffers()
  let link: Link | undefined
  const control: Buffer[] = []
  const unacknowledged: Buffer[] = []
  let unacknowledgedBytes = 0
  let acknowledged = 0
  let isPumping = false
  let received = 0
  let unreported = { bytes: 0, frames: 0 }
  let timer: NodeJS.Timeout | undefined

  const hasMemory = (): boolean => {
    const wanted = unacknowledgedBytes + maxMemory
    return wanted <= memory.grow(wanted)
  }

  const take = (): Buffer | undefined =>
    control.shift() ?? (hasMemory() ? next(buffers.allocate) : undefined)

  const pump = (): void => {
    // Taking data wakes its writer, which writes more.
    if (isPumping) return
    isPumping = true
    link?.cork()
    try {
      while (link?.isWritable()) {
        const frame = take()
        if (frame === undefined) break
        unacknowledged.push(frame)
        unacknowledgedBytes += memoryOf(frame)
        link.send(frame)
      }
    } finally {
      link?.uncork()
      isPumping = false
    }
  }

  const acknowledge = (): void => {
    clearTimeout(timer)
    timer = undefined
    unreported = { bytes: 0, frames: 0 }
    link?.send(encodeNumber('acknowledgement', 0, received))
  }

  const forget = (upTo: number): void => {
    const count = upTo - acknowledged
    if (count < 0 || count > unacknowledged.length)
      throw violation(`the other end has ${upTo} frames, and this one sent others`)
    for (const frame of unacknowledged.splice(0, count)) {
      unacknowledgedBytes -= memoryOf(frame)
      // It has arrived, and is in no queue: a link that broke was destroyed with its queue.
      buffers.release(frame)
    }
    acknowledged = upTo
    if (unacknowledged.length > 0) return
    buffers.clear()
    memory.shrink(0)
  }

  return {
    send: (frame) => {
      control.push(frame)
      pump()
    },
    pump,
    receive: (frame) => {
      if (frame.type === 'acknowledgement') {
        forget(readNumber(frame))
        return pump()
      }
      if (!isReliable(frame.type)) throw violation(`a session has no ${frame.type} frames`)
      received += 1
      for (const { length } of frame.parts) unreported.bytes += length
      unreported.frames += 1
      deliver(frame)
      const { bytes, frames } = unreported
      if (bytes >= acknowledgeEach.bytes || frames >= acknowledgeEach.frames) acknowledge()
      else timer ??= setTimeout(acknowledge, acknowledgeEach.time).unref()
    },
    received: () => received,
    attach: (to, receivedByPeer) => {
      forget(receivedByPeer)
      link = to
      for (const frame of unacknowledged) to.send(frame)
      pump()
    },
    detach: () => {
      clearTimeout(timer)
      timer = undefined
      link = undefined
    },
  }
}
