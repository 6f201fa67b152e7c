import { bytesIn, type Chunks, withoutFirst } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import { type RemoteBlob, retryPause } from '../remote/remote.ts'

/** Requests a blob's bytes from a position; undefined when the upstream does not have the blob. */
export type OpenBlob = (
  from: number,
  options: {
    readonly signal: AbortSignal
    readonly isResume?: boolean
    /** Called while others wait for a slot. Returns true if this request releases its slot. */
    readonly releaseSlot?: () => boolean
  },
) => Promise<RemoteBlob | undefined>

export type DownloadOptions = {
  readonly open: OpenBlob
  /** The first connection, if it is open already. */
  readonly first?: RemoteBlob
  readonly from: number
  /**
   * Size of the whole blob in bytes, if known: a body that ends cleanly before it is broken as
   * well.
   */
  readonly size: number | undefined
  /** Maximum time without progress, in milliseconds. */
  readonly maxStall: number
  readonly signal: AbortSignal
  readonly onBytes: (bytes: number) => void
  readonly onResume: (position: number, error: unknown) => void
}

/** Minimum progress, in bytes: an upstream that sends one byte per attempt makes no progress. */
const minProgress = 64 * 1024
/** Before attempts that follow one without progress, doubling, in milliseconds. */
const firstPause = 200
const maxPause = 5000

/**
 * Yields a blob's bytes from a position to the end. When a body breaks, it requests the rest from
 * the byte reached, as long as there is progress. An upstream without ranges starts again from the
 * first byte, and bytes that have already arrived are skipped. The bytes are not verified here: the
 * caller checks the digest of everything yielded.
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
        message: 'the upstream closed the connection before the end of a blob',
        status: 502,
      })
    } catch (error) {
      // The body broke after the last byte: the digest decides whether the bytes are correct.
      if (size !== undefined && position >= size) return
      // The remote has already retried the first request.
      if (!isResume && answer === undefined) throw error
      const wait = stall.pauseAfter(position, error)
      if (signal.aborted || wait === undefined || !isTemporary(error)) throw error
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
    /** Milliseconds; undefined after too long without progress. */
    pauseAfter: (position: number, error: unknown): number | undefined => {
      const now = performance.now()
      if (position - reached >= minProgress) {
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

/** Ends early with the signal's reason, which readers receive. */
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
      message: `the upstream announced a size of ${answer.size} bytes, and ${size} bytes before`,
      status: 502,
    })
  }
  return answer
}

/** Connection faults and 5xx responses may be temporary; a denial is not. */
function isTemporary(error: unknown): boolean {
  return error instanceof RegistryError && error.code === 'UNAVAILABLE'
}
