import type { Duplex } from 'node:stream'
import { createAllowance, type Reserve } from './allowance.ts'
import { type Channel, createChannel } from './channel.ts'
import { encodeFrame, type Frame } from './frame.ts'
import type { Allocate } from './frame-buffers.ts'
import { violation } from './tunnel-error.ts'
import { createTunnelStream, type TunnelStream } from './tunnel-stream.ts'
import {
  baseWindow,
  maxAccepted,
  maxStreams,
  shareBeside,
  sharedBy,
  sharedWindow,
  streamsWindow,
  unacknowledgedWindow,
  windowOf,
} from './windows.ts'

/** The streams of one tunnel, over one link after another. */
export interface Session
  extends Pick<Channel, 'pump' | 'receive' | 'received' | 'attach' | 'detach'> {
  /** A new stream. Above the limit it waits until another one is closed. */
  open(): Duplex
  /** Ends all streams. */
  destroy(reason: Error): void
}

type SessionOptions = {
  /** The other end opened a stream. Without it, only this end opens streams. */
  readonly onOpen?: (stream: Duplex) => void
  /** For what the session needs beyond `sessionMemory`. */
  readonly reserve?: Reserve
}

export function createSession({ onOpen, reserve = () => () => {} }: SessionOptions = {}): Session {
  const base = createAllowance({ ...streamsWindow, reserve })
  const shared = createAllowance({ ...sharedWindow, reserve })
  const unacknowledged = createAllowance({ ...unacknowledgedWindow, reserve })
  const streams = new Map<number, TunnelStream>()
  const ready = new Set<TunnelStream>()
  const waiting = new Map<number, TunnelStream>()
  let lastId = 0
  let isDestroyed = false

  /** Each stream that has data, in turn. */
  const next = (allocate: Allocate): Buffer | undefined => {
    for (const stream of ready) {
      ready.delete(stream)
      const frame = stream.take(allocate)
      if (stream.hasData()) ready.add(stream)
      if (frame !== undefined) return frame
    }
    return undefined
  }

  const add = (id: number): TunnelStream => {
    const stream: TunnelStream = createTunnelStream({
      id,
      send: (frame) => channel.send(frame),
      onReady: () => {
        if (stream.hasData()) ready.add(stream)
        channel.pump()
      },
      window: () => {
        const others = heldBy([...streams.values()].filter((other) => other !== stream))
        return windowOf(others, shared.grow(sharedBy(others) + shareBeside(others)))
      },
      onClose: () => {
        ready.delete(stream)
        waiting.delete(id)
        streams.delete(id)
        base.shrink(streams.size * baseWindow)
        shared.shrink(sharedBy(heldBy([...streams.values()])))
        startWaiting()
      },
    })
    return stream
  }

  const start = (id: number, stream: TunnelStream): void => {
    streams.set(id, stream)
    channel.send(encodeFrame('open', id))
    stream.start()
  }

  const startWaiting = (): void => {
    for (const [id, stream] of waiting) {
      if (streams.size >= maxStreams || isDestroyed) return
      waiting.delete(id)
      start(id, stream)
    }
  }

  const refuse = (id: number): void => {
    const reason = 'the registry has no memory for another connection'
    channel.send(encodeFrame('reset', id, Buffer.from(reason)))
  }

  const accept = (id: number): void => {
    if (onOpen === undefined || id <= lastId || streams.size >= maxAccepted)
      throw violation(`the other end must not open stream ${id}`)
    lastId = id
    const wanted = (streams.size + 1) * baseWindow
    if (base.grow(wanted) < wanted) return refuse(id)
    const stream = add(id)
    streams.set(id, stream)
    stream.start()
    onOpen(stream.duplex)
  }

  const deliver = (frame: Frame): void => {
    if (frame.type === 'open') accept(frame.stream)
    // Frames of a stream that this end has closed may still arrive.
    else streams.get(frame.stream)?.receive(frame)
  }

  const channel = createChannel({ unacknowledged, next, deliver })

  return {
    ...channel,
    open: () => {
      lastId += 1
      const id = lastId
      const stream = add(id)
      if (streams.size < maxStreams) start(id, stream)
      else waiting.set(id, stream)
      return stream.duplex
    },
    destroy: (reason) => {
      isDestroyed = true
      channel.detach()
      for (const { duplex } of [...streams.values(), ...waiting.values()]) duplex.destroy(reason)
      base.shrink(0)
      shared.shrink(0)
      unacknowledged.shrink(0)
    },
  }
}

function heldBy(streams: readonly TunnelStream[]): readonly number[] {
  return streams.map((stream) => stream.held())
}
