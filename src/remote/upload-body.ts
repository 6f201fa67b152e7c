import { Readable } from 'node:stream'
import type { Chunks } from '../memory/memory.ts'

/** A request body that is too long for the memory. It is sent once, as fast as the upstream reads. */
export type UploadBody = {
  /** Bytes; undefined if the client that sends them does not say. */
  readonly size: number | undefined
  readonly chunks: AsyncIterable<Chunks>
  /** Bytes that the upstream verifies before it answers: those of earlier requests too. Default: `size`. */
  readonly verified?: number
}

/** Of a piece that is handed to the connection, in bytes: the smaller, the slower an upstream may be. */
const maxPiece = 64 * 1024

type UploadLimits = {
  /** Milliseconds in which the upstream must read a piece. */
  readonly idle: number
  /** Milliseconds from the end of the body to the headers of the answer: it verifies and stores the blob. */
  readonly answer: number
  readonly onLate: () => void
}

/**
 * The stream of an upload. Only the time that the upstream takes counts against its limits, not the time
 * that the source of the bytes takes. `isAlive`: a sign of the upstream after the end of the body begins the time
 * for the answer anew. `answered` ends the limits.
 */
export function createUploadStream(
  { size, chunks }: UploadBody,
  { idle, answer, onLate }: UploadLimits,
): {
  readonly stream: Readable | Buffer
  readonly isAlive: () => void
  readonly answered: () => void
} {
  let timer: NodeJS.Timeout | undefined
  let isAnswered = false
  let isSent = false
  const stop = () => clearTimeout(timer)
  const limit = (milliseconds: number) => {
    stop()
    if (!isAnswered) timer = setTimeout(onLate, milliseconds)
  }

  const awaitAnswer = () => {
    isSent = true
    limit(answer)
  }

  async function* pieces(): AsyncGenerator<Buffer, void, undefined> {
    try {
      for await (const batch of chunks)
        for (const piece of batch.flatMap(cut)) {
          limit(idle)
          yield piece
          stop()
        }
      awaitAnswer()
    } catch (error) {
      stop()
      throw error
    }
  }

  // The HTTP client reads no stream that is announced to be empty.
  if (size === 0) awaitAnswer()
  return {
    stream:
      size === 0
        ? Buffer.alloc(0)
        : Readable.from(pieces(), { objectMode: false, highWaterMark: maxPiece }),
    isAlive: () => {
      if (isSent) awaitAnswer()
    },
    answered: () => {
      isAnswered = true
      stop()
    },
  }
}

function cut(chunk: Buffer): readonly Buffer[] {
  const pieces = Math.ceil(chunk.length / maxPiece)
  return Array.from({ length: pieces }, (_, at) =>
    chunk.subarray(at * maxPiece, (at + 1) * maxPiece),
  )
}
