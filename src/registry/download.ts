import { bytesIn, type Chunks, withoutFirst } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import { type RemoteBlob, retryPause } from '../remote/remote.ts'

/** Asks the upstream for a blob's bytes from a position on; undefined when it has no such blob. */
export type OpenBlob = (
  from: number,
  options: {
    readonly signal: AbortSignal
    readonly isResume?: boolean
    /** Called while others wait for a slot: whether this one is given up. */
    readonly giveWay?: () => boolean
  },
) => Promise<RemoteBlob | undefined>

export type DownloadOptions = {
  readonly open: OpenBlob
  /** The first connection, if it is open already. */
  readonly first?: RemoteBlob
  readonly from: number
  /** Bytes of the whole blob, if known: then a body that ends cleanly before is broken as well. */
  readonly size: number | undefined
  /** How long it goes on without progress, in milliseconds. */
  readonly maxStall: number
  readonly signal: AbortSignal
  readonly onBytes: (bytes: number) => void
  readonly onResume: (position: number, error: unknown) => void
}

/** What counts as progress, in bytes: those who send a byte each time are no better than those who do not. */
const progress = 64 * 1024
/** Before attempts that follow one without progress, doubling, in milliseconds. */
const firstPause = 200
const maxPause = 5000

/**
 * A blob's bytes from a position to the end, over as many connections as that takes: a body that
 * breaks is asked for again from the byte reached, for as long as there is progress. An upstream without
 * ranges begins anew, and what came already is passed over: the digest, which covers all that was
 * yielded, decides in the end whether the pieces fit together. Nothing here is verified.
 */
export async function* download(options: DownloadOptions): AsyncGenerator<Chunks, void, undefined> {
  const { open, first, from, size, maxStall, signal, onBytes, onResume } = options
  const stall = createStall(from, maxStall)
  let position = from
  let answer = first
  for (let isResume = first !== undefined || from > 0; ; isResume = true) {
    try {
      answer ??= await reopen(() => open(position, { signal, isResume }), size)
      let arrived = answer.from
      for await (const batch of answer.body) {
        const fresh = arrived < position ? withoutFirst(batch, position - arrived) : batch
        const bytes = bytesIn(fresh)
        arrived += bytesIn(batch)
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
      // That it cannot be opened was found out by as many attempts as that is worth.
      if (!isResume && answer === undefined) throw error
      const wait = stall.pauseAfter(position, error)
      if (signal.aborted || wait === undefined || !mayPass(error)) throw error
      onResume(position, error)
      await pause(wait, signal)
      answer = undefined
    }
  }
}

/** How long there was no progress, and how long to wait before the next attempt. */
function createStall(from: number, maxStall: number) {
  let reached = from
  let since = performance.now()
  let failures = 0
  return {
    /** Milliseconds; undefined when there was no progress for too long. */
    pauseAfter: (position: number, error: unknown): number | undefined => {
      const now = performance.now()
      if (position - reached >= progress) {
        reached = position
        since = now
        failures = 0
      }
      const left = since + maxStall - now
      if (left <= 0) return undefined
      const backOff = failures === 0 ? 0 : Math.min(firstPause * 2 ** (failures - 1), maxPause)
      failures += 1
      return Math.min(Math.max(backOff, retryPause(error)), left)
    },
  }
}

/** Ends early with the reason that the signal gives: it is what readers get. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const over = Promise.withResolvers<void>()
  const abort = () => over.reject(signal.reason)
  const timer = setTimeout(over.resolve, milliseconds)
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  try {
    await over.promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
}

async function reopen(
  open: () => Promise<RemoteBlob | undefined>,
  size: number | undefined,
): Promise<RemoteBlob> {
  const answer = await open()
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
