import { setTimeout as sleep } from 'node:timers/promises'
import { type Chunks, sizeOf, withoutFirst } from '../oci/chunks.ts'
import { RegistryError } from '../oci/errors.ts'
import type { RemoteBlob } from '../remote/remote.ts'

/** Asks the upstream for a blob's bytes from a position on; undefined when it has no such blob. */
export type OpenBlob = (from: number, signal: AbortSignal) => Promise<RemoteBlob | undefined>

export type DownloadOptions = {
  readonly open: OpenBlob
  /** The first connection, if it is open already. */
  readonly first?: RemoteBlob
  readonly from: number
  /** Bytes of the whole blob, if known: then a body that ends cleanly before is broken as well. */
  readonly size: number | undefined
  readonly signal: AbortSignal
  readonly onBytes: (bytes: number) => void
  readonly onResume: (position: number, error: unknown) => void
}

/**
 * Attempts in a row that bring less than `worthwhile` bytes end a download; the pause before each
 * doubles, in milliseconds.
 */
const mostFruitless = 3
const worthwhile = 1024 * 1024
const firstPause = 200

/**
 * A blob's bytes from a position to the end, over as many connections as that takes: a body that
 * breaks is asked for again from the byte reached. An upstream without ranges begins anew, and what
 * came already is passed over: the digest, which covers all that was yielded, decides in the end
 * whether the pieces fit together. Nothing here is verified.
 */
export async function* download(options: DownloadOptions): AsyncGenerator<Chunks, void, undefined> {
  const { open, first, from, size, signal, onBytes, onResume } = options
  let position = from
  let answer = first
  for (let fruitless = 0; ; ) {
    const before = position
    try {
      answer ??= await reopen(open, position, size, signal)
      let arrived = answer.from
      for await (const batch of answer.body) {
        const fresh = arrived < position ? withoutFirst(batch, position - arrived) : batch
        const bytes = sizeOf(fresh)
        arrived += sizeOf(batch)
        position += bytes
        onBytes(bytes)
        if (bytes > 0) yield fresh
      }
      if (size === undefined || position >= size) return
      throw new RegistryError('UNAVAILABLE', {
        message: 'the upstream ended a blob early',
        status: 502,
      })
    } catch (error) {
      // It broke after the last byte: whether they are right, the digest tells.
      if (size !== undefined && position >= size) return
      fruitless = position - before >= worthwhile ? 0 : fruitless + 1
      if (signal.aborted || fruitless >= mostFruitless || !mayPass(error)) throw error
      onResume(position, error)
      await pause(fruitless === 0 ? 0 : firstPause * 2 ** (fruitless - 1), signal)
      answer = undefined
    }
  }
}

/** Ends early with the reason that the signal gives: it is what readers are told. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal })
  } catch {
    throw signal.reason
  }
}

async function reopen(
  open: OpenBlob,
  from: number,
  size: number | undefined,
  signal: AbortSignal,
): Promise<RemoteBlob> {
  const answer = await open(from, signal)
  if (answer === undefined)
    throw new RegistryError('BLOB_UNKNOWN', {
      message: 'the upstream does not have the blob any more',
    })
  if (size !== undefined && answer.size !== undefined && answer.size !== size) {
    answer.drop()
    throw new RegistryError('SIZE_INVALID', {
      message: `the upstream says ${answer.size} bytes, and said ${size} before`,
      status: 502,
    })
  }
  return answer
}

/** What is broken below HTTP, or a server that fails, may pass; a refusal does not. */
function mayPass(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'UNAVAILABLE'
}
