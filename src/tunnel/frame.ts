import { discard, retain } from './read-bytes.ts'
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
  /** The payload as it arrived. Large ones are not put together, because that takes a new buffer for each. */
  readonly parts: readonly Buffer[]
}

const names = new Map<number, FrameType>(
  Object.entries(types).map(([name, type]) => [type, name as FrameType]),
)
export const headerSize = 8
/** Bytes. Small, so that a stream waits for at most one frame of each other one. */
export const maxPayload = 32 * 1024
const empty = Buffer.alloc(0)

export function isReliable(type: FrameType): boolean {
  return types[type] >= types.open
}

/** The payload is copied, because its owner may write to it again. */
export function encodeFrame(
  type: FrameType,
  stream: number,
  payload: Uint8Array = empty,
  allocate: (bytes: number) => Buffer = Buffer.allocUnsafe,
): Buffer {
  const frame = allocate(headerSize + payload.length)
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

export function payloadOf({ parts }: Frame): Buffer {
  return join(parts)
}

export function readNumber(frame: Frame): number {
  const { type } = frame
  const payload = payloadOf(frame)
  if (payload.length !== 6) throw violation(`a ${type} frame has ${payload.length} bytes`)
  return payload.readUIntBE(0, 6)
}

/**
 * Returns a function that takes the bytes of a link as they arrive, and passes on each whole frame. Payloads are
 * parts of these bytes, and are discarded after `onFrame`.
 * @throws TunnelError for bytes that are no frame.
 */
export function createFrameParser(onFrame: (frame: Frame) => void): (bytes: Buffer) => void {
  let parts: Buffer[] = []
  let missing = headerSize
  let header: Pick<Frame, 'type' | 'stream'> | undefined

  const finish = (): void => {
    const whole = parts
    parts = []
    if (header === undefined) {
      const bytes = join(whole)
      header = readHeader(bytes)
      missing = lengthIn(bytes)
    } else {
      const frame = { ...header, parts: whole }
      header = undefined
      missing = headerSize
      onFrame(frame)
    }
    for (const part of whole) discard(part)
  }

  const keep = (part: Buffer): void => {
    if (part.length === 0) return
    retain(part)
    parts.push(part)
  }

  return (bytes) => {
    let rest = bytes
    while (rest.length >= missing) {
      keep(rest.subarray(0, missing))
      rest = rest.subarray(missing)
      finish()
    }
    keep(rest)
    missing -= rest.length
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

function join(parts: readonly Buffer[]): Buffer {
  const [first = empty] = parts
  return parts.length > 1 ? Buffer.concat(parts) : first
}
