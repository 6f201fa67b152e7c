import type { Digest } from '../../oci/digest.ts'

/**
 * Minimum time from the start of the process, or the end of a scrub, to the next scrub, in
 * milliseconds.
 */
const minDelay = 15_000
/** Interval between blobs, and between checks whether a fill is in flight, in milliseconds. */
const blobPause = 10
const fillPause = 1000

type ScrubOptions = {
  /** The stored blobs. */
  readonly digests: () => readonly Digest[]
  /** Reads and verifies a whole blob; awaits `rateCheck` with the bytes read so far. Does not reject. */
  readonly verify: (digest: Digest, pace: (bytes: number) => Promise<void>) => Promise<void>
  /** Whether blobs are being stored. The scrub waits for that. */
  readonly isFilling: () => boolean
  /** Bytes per second. */
  readonly rate: number
  /** Milliseconds from the start of one scrub to the start of the next. */
  readonly interval: number
  /** Waits for the given milliseconds; rejects when the scrub must end. */
  readonly pause: (milliseconds: number) => Promise<void>
  readonly now: () => number
}

/** Verifies all blobs at a limited rate, and again after an interval. Ends when `pause` rejects. */
export async function scrub(options: ScrubOptions): Promise<never> {
  const { digests, verify, isFilling, rate, interval, pause, now } = options

  const verifyAll = async (): Promise<void> => {
    for (const digest of digests()) {
      let before = 0
      await verify(digest, async (bytes) => {
        await pause(((bytes - before) / rate) * 1000)
        before = bytes
        while (isFilling()) await pause(fillPause)
      })
      await pause(blobPause)
    }
  }

  for (let delay = minDelay; ; ) {
    await pause(delay)
    const started = now()
    await verifyAll()
    delay = Math.max(minDelay, started + interval - now())
  }
}
