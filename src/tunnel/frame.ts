import { violation } from './tunnel-error.ts'

/**
 * A frame has a header of 8 bytes: its type (1), the stream (4, big-endian) and the length of the payload (3).
 *
 * Frames from `open` on are reliable: both ends count them, keep what the other end has not acknowledged, and
 * send it again over the next link. Frames before `open` belong to one link.
 */
const types = {
  hello: 1,
  refusal: 2,
  acknowledgement: 3,
  ping: 4,
  pong: 5,
  bye: 6,
  open: 16,
  data: 17,
  credit: 18,
  end: 19,
  reset: 20,
} as const

export type FrameType = keyof typeof types

export type Frame = {
  readonly type: FrameType
  /** 0: the link itself. */
  readonly stream: number
  readonly payload: Buffer
}

const names = new Map<number, FrameType>(
  Object.entries(types).map(([name, type]) => [type, name as FrameType]),
)
const headerSize = 8
/** Bytes. Small, so that a stream waits for at most one frame of each other one. */
export const maxPayload = 32 * 1024
const empty = Buffer.alloc(0)

export function isReliable(type: FrameType): boolean {
  return types[type] >= types.open
}

/** One new buffer: the payload is copied, because its owner may write to it again. */
export function encodeFrame(type: FrameType, stream: number, payload: Uint8Array = empty): Buffer {
  const frame = Buffer.allocUnsafe(headerSize + payload.length)
  frame.writeUInt8(types[type], 0)
  frame.writeUInt32BE(stream, 1)
  frame.writeUIntBE(payload.length, 5, 3)
  frame.set(payload, headerSize)
  return frame
}

export function encodeNumber(type: FrameType, stream: number, value: number): Buffer {
  const payload = Buffer.allocUnsafe(6)
  payload.writeUIntBE(value, 0, 6)
  return encodeFrame(type, stream, payload)
}

export function readNumber({ type, payload }: Frame): number {
  if (payload.length !== 6) throw violation(`a ${type} frame has ${payload.length} bytes`)
  return payload.readUIntBE(0, 6)
}

/**
 * Returns a function that takes the bytes of a link as they arrive, and passes on each whole frame. Payloads are
 * parts of these bytes where possible.
 * @throws TunnelError for bytes that are no frame.
 */
export function createFrameParser(onFrame: (frame: Frame) => void): (bytes: Buffer) => void {
  let parts: Buffer[] = []
  let size = 0
  let wanted = headerSize
  let header: Buffer | undefined

  const take = (part: Buffer): void => {
    if (header === undefined) {
      header = part
      wanted = lengthIn(part)
    } else {
      const frame = { ...readHeader(header), payload: part }
      header = undefined
      wanted = headerSize
      onFrame(frame)
    }
  }

  return (bytes) => {
    let rest = bytes
    while (size + rest.length >= wanted) {
      const needed = wanted - size
      const last = rest.subarray(0, needed)
      rest = rest.subarray(needed)
      const whole = parts.length === 0 ? last : Buffer.concat([...parts, last])
      parts = []
      size = 0
      take(whole)
    }
    if (rest.length > 0) parts.push(rest)
    size += rest.length
  }
}

function readHeader(header: Buffer): Pick<Frame, 'type' | 'stream'> {
  const type = names.get(header.readUInt8(0))
  if (type === undefined) throw violation(`unknown frame of type ${header.readUInt8(0)}`)
  return { type, stream: header.readUInt32BE(1) }
}

/** Checked before the payload is waited for: a message of another program must not be taken for a length. */
function lengthIn(header: Buffer): number {
  const { type } = readHeader(header)
  const length = header.readUIntBE(5, 3)
  if (length > maxPayload) throw violation(`a ${type} frame of ${length} bytes is too long`)
  return length
}
