import type { Digest } from '../oci/digest.ts'

/** Between the start of the process, or the end of a scrub, and the next one at least, in milliseconds. */
const minDelay = 15_000
/** Between blobs, and between looks at whether a fill is in flight, in milliseconds. */
const breath = 10
const fillPause = 1000

type ScrubOptions = {
  /** What is there. */
  readonly digests: () => readonly Digest[]
  /** Reads all of a blob; `pace` is awaited with the bytes read so far. Does not reject. */
  readonly verify: (digest: Digest, pace: (bytes: number) => Promise<void>) => Promise<void>
  /** Whether blobs are being stored, which comes first. */
  readonly isFilling: () => boolean
  /** Bytes a second. */
  readonly rate: number
  /** Milliseconds from the start of one scrub to that of the next. */
  readonly interval: number
  /** Waits so many milliseconds; rejects when the scrub is to end. */
  readonly pause: (milliseconds: number) => Promise<void>
  readonly now: () => number
}

/** Verifies all blobs, slowly, and again after an interval. Ends when `pause` rejects. */
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
      await pause(breath)
    }
  }

  for (let delay = minDelay; ; ) {
    await pause(delay)
    const started = now()
    await verifyAll()
    delay = Math.max(minDelay, started + interval - now())
  }
}
