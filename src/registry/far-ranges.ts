import { createHash } from 'node:crypto'
import { read as readFile } from 'node:fs'
import { promisify } from 'node:util'
import { bytesIn } from '../memory/memory.ts'
import type { Content, Piece } from '../oci/content.ts'
import type { RemoteBlob } from '../remote/remote.ts'

/** Bytes of a blob from `first` to `last`, both included; undefined from an upstream without ranges. */
export type OpenRange = (
  first: number,
  last: number,
  signal: AbortSignal,
) => Promise<RemoteBlob | undefined>

/** Minimum distance, in bytes, from the bytes that have arrived to a far range. */
const minDistance = 8 * 1024 * 1024
/**
 * Maximum size of a far range, in bytes: the index of a layer, not the rest of a broken download.
 */
const maxRangeSize = 4 * 1024 * 1024
/** Bytes of one request, and requests beside one fill. */
const maxRequestSize = 1024 * 1024
const maxRequests = 16
/** Of one request, in milliseconds; the reader waits for the fill after that. */
const timeout = 10_000

/** Ranges that are in memory at the same time, over all fills of an upstream. */
export type RangeSlots = { free: number }

export function createRangeSlots(): RangeSlots {
  return { free: 8 }
}

type FarRangesOptions = {
  readonly openRange: OpenRange
  readonly slots: RangeSlots
  readonly signal: AbortSignal
  readonly onBytes: (bytes: number) => void
  /** The bytes sent to a client differ from the verified blob. */
  readonly onMismatch: (position: number) => void
}

/** The ranges of one fill. */
export interface FarRanges {
  /** A reader that does not wait for `arrived` bytes to reach a far range. */
  reader(content: Content, arrived: () => number): Content
  /** Compares the bytes sent to clients with the verified blob. */
  compare(content: Content): Promise<void>
}

/**
 * Clients that read a layer lazily (eStargz, zstd:chunked) begin with its footer. Until the fill
 * reaches such a range, a separate request fetches it from the upstream. Its bytes reach the client
 * before the blob's digest is verified, so the client must verify them, as it does with the table
 * of contents; the bytes sent are compared with the finished blob. Distance, size and number are
 * limited; a range beyond the limits, or one that fails, waits for the fill.
 */
export function createFarRanges(options: FarRangesOptions): FarRanges {
  const { openRange, slots, signal, onBytes, onMismatch } = options
  const sent: { readonly position: number; readonly length: number; readonly hash: string }[] = []
  let requests = 0
  let isSupported = true

  const held = new Map<string, { readonly bytes: Promise<Buffer | undefined>; readers: number }>()

  const fetch = async (position: number, until: number): Promise<Buffer | undefined> => {
    requests += 1
    const limited = AbortSignal.any([signal, AbortSignal.timeout(timeout)])
    const answer = await openRange(position, until - 1, limited)
    if (answer === undefined) {
      isSupported = false
      return undefined
    }
    const chunks: Buffer[] = []
    for await (const batch of answer.body) {
      chunks.push(...batch)
      if (bytesIn(chunks) > until - position) break
    }
    if (bytesIn(chunks) !== until - position) return undefined
    const bytes = Buffer.concat(chunks)
    onBytes(bytes.length)
    sent.push({ position, length: bytes.length, hash: hashOf(bytes) })
    return bytes
  }

  /** Readers share a request, and its bytes while one of them holds these. Undefined: there is no slot. */
  const hold = (position: number, until: number) => {
    const key = `${position}-${until}`
    let shared = held.get(key)
    if (shared === undefined) {
      if (requests >= maxRequests || slots.free === 0) return undefined
      slots.free -= 1
      shared = { bytes: fetch(position, until).catch(() => undefined), readers: 0 }
      held.set(key, shared)
    }
    const found = shared
    found.readers += 1
    const release = once(() => {
      found.readers -= 1
      if (found.readers > 0) return
      slots.free += 1
      held.delete(key)
    })
    return { bytes: found.bytes, release }
  }

  const isFarEnough = (position: number, until: number, arrived: number): boolean =>
    isSupported && position - arrived >= minDistance && until - position <= maxRangeSize

  const reader: FarRanges['reader'] = (content, arrived) => {
    let release = () => {}

    const fetchHeld = async (position: number, until: number): Promise<Piece | undefined> => {
      const holding = hold(position, until)
      if (holding === undefined) return undefined
      release = holding.release
      const bytes = await holding.bytes
      if (bytes !== undefined) return { kind: 'bytes', bytes }
      holding.release()
      return undefined
    }

    return {
      digest: content.digest,
      size: content.size,
      next: async (position, until = content.size) => {
        release()
        const piece = isFarEnough(position, until, arrived())
          ? await fetchHeld(position, Math.min(until, position + maxRequestSize))
          : undefined
        return piece ?? content.next(position, until)
      },
      close: (broken) => {
        release()
        content.close(broken)
      },
    }
  }

  return {
    reader,
    compare: async (content) => {
      for (const { position, length, hash } of sent) {
        const bytes = await readAt(content, position, length).catch(() => undefined)
        if (bytes !== undefined && hashOf(bytes) !== hash) onMismatch(position)
      }
    },
  }
}

function once(act: () => void): () => void {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    act()
  }
}

const readInto = promisify(readFile)

/** Undefined when the range is not completely in a file any more. */
async function readAt(
  content: Content,
  position: number,
  length: number,
): Promise<Buffer | undefined> {
  const buffer = Buffer.alloc(length)
  for (let at = 0; at < length; ) {
    const piece = await content.next(position + at)
    if (piece.kind !== 'file') return undefined
    const end = Math.min(length, piece.end - position)
    const { bytesRead } = await readInto(piece.fd, buffer, at, end - at, position + at)
    if (bytesRead === 0) return undefined
    at += bytesRead
  }
  return buffer
}

function hashOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('base64')
}
