import { createHash, randomBytes } from 'node:crypto'
import { type Digest, parseDigest } from '../../src/oci/digest.ts'
import type { Answering, Exchange } from './scripted-upstream.ts'

/** A blob that is made of a number each time, so that gigabytes of it take no room. */
export type SeededBlob = { readonly digest: Digest; readonly size: number; readonly seed: number }

/** All blocks are this one, except for a header with the seed and the number of the block. */
const block = randomBytes(1024 * 1024)
const headSize = 8

/** Hashes it once, which is what takes time. */
export function seededBlob(seed: number, size: number): SeededBlob {
  const hash = createHash('sha256')
  const unhashed = { seed, size }
  for (const piece of piecesOf(unhashed, 0, size)) hash.update(piece)
  return { ...unhashed, digest: parseDigest(`sha256:${hash.digest('hex')}`) }
}

/** Its bytes from `from` to `to`, exclusive. */
export function* piecesOf(
  { seed }: Pick<SeededBlob, 'seed'>,
  from: number,
  to: number,
): Generator<Buffer, void, undefined> {
  for (let position = from; position < to; ) {
    const within = position % block.length
    const start = position - within
    const source = within < headSize ? headOf(seed, start / block.length) : block
    const end = Math.min(source.length, to - start)
    yield source.subarray(within, end)
    position = start + end
  }
}

/** Whether `bytes` are what lies at a position of the blob: as good as a hash, and ten times cheaper. */
export function isPartOf(blob: SeededBlob, position: number, bytes: Buffer): boolean {
  let at = 0
  for (const piece of piecesOf(blob, position, position + bytes.length)) {
    if (bytes.compare(piece, 0, piece.length, at, at + piece.length) !== 0) return false
    at += piece.length
  }
  return at === bytes.length && position + at <= blob.size
}

function headOf(seed: number, index: number): Buffer {
  const head = Buffer.alloc(headSize)
  head.writeUInt32LE(seed, 0)
  head.writeUInt32LE(index, 4)
  return head
}

type Sending = {
  /** Awaited before the byte at a position is sent. */
  readonly pause?: { readonly at: number; readonly gate: Promise<void> }
  /** Where it stops in the middle, and how. */
  readonly cut?: { readonly at: number; readonly how: 'end' | 'reset' }
}

/** Answers with the blob, or from where a range begins. */
export function seededAnswer(blob: SeededBlob, { pause, cut }: Sending = {}): Answering {
  return async (exchange) => {
    const { headers, head } = exchange
    const from = Number(/^bytes=(\d+)-$/.exec(headers['range'] ?? '')?.[1] ?? 0)
    const range = { 'content-range': `bytes ${from}-${blob.size - 1}/${blob.size}` }
    const length = { 'content-length': String(blob.size - from) }
    head(from === 0 ? 200 : 206, { ...length, ...(from > 0 && range) })
    const end = cut?.at ?? blob.size
    if (pause !== undefined) {
      await send(exchange, blob, from, pause.at)
      await pause.gate
    }
    await send(exchange, blob, pause?.at ?? from, end)
    if (cut !== undefined) exchange[cut.how]()
  }
}

async function send(
  { socket, write }: Exchange,
  blob: SeededBlob,
  from: number,
  to: number,
): Promise<void> {
  for (const piece of piecesOf(blob, from, to)) {
    if (socket.destroyed) return
    await write(piece)
  }
}
