import type { Digest } from '../oci/digest.ts'

/** Blobs that wait for their upload, at most, and their bytes, which are on the disk. */
const maxWaiting = 1000
const maxWaitingBytes = 32 * 2 ** 30
/** Each has up to 16 MiB in memory. */
const maxRunning = 2

/** Uploads in the background, in the order in which blobs arrived. */
export interface Uploads {
  /** False: too many wait already, because the bucket is slow. */
  add(digest: Digest, size: number): boolean
  waiting(): number
  /** Aborts what runs, and waits for it. */
  close(): Promise<void>
}

/** `upload` never rejects. */
export function createUploads(
  upload: (digest: Digest, signal: AbortSignal) => Promise<void>,
): Uploads {
  const waiting = new Map<Digest, number>()
  const running = new Map<Digest, Promise<void>>()
  const closing = new AbortController()
  let waitingBytes = 0

  const startNext = (): void => {
    for (const [digest, size] of waiting) {
      if (running.size >= maxRunning) return
      waiting.delete(digest)
      waitingBytes -= size
      const work = upload(digest, closing.signal).finally(() => {
        running.delete(digest)
        startNext()
      })
      running.set(digest, work)
    }
  }

  return {
    add: (digest, size) => {
      if (closing.signal.aborted || waiting.has(digest) || running.has(digest)) return true
      if (waiting.size >= maxWaiting || waitingBytes + size > maxWaitingBytes) return false
      waiting.set(digest, size)
      waitingBytes += size
      startNext()
      return true
    },
    waiting: () => waiting.size + running.size,
    close: async () => {
      closing.abort()
      waiting.clear()
      await Promise.all(running.values())
    },
  }
}
