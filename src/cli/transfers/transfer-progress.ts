import { formatSize } from '../../oci/amounts.ts'
import type { Progress } from '../../transfer/transfer.ts'

/** Milliseconds between two lines of one blob. */
const interval = 5000
/** Smaller blobs get one line, at their end. In bytes. */
const minSize = 8 * 1024 * 1024

/** What shows the progress of a transfer. */
export interface ProgressDisplay {
  update(progress: Progress): void
  /** A line about something else. */
  note(line: string): void
  close(): void
}

type Options = {
  readonly write: (line: string) => void
  readonly now?: () => number
}

/** One line for each blob, and one each five seconds for large ones while they are sent. */
export function createTransferProgress({
  write,
  now = () => performance.now(),
}: Options): (progress: Progress) => void {
  const lastAt = new Map<string, number>()
  return ({ digest, size, sent, state }) => {
    if (state === 'waiting') return
    const name = digest.slice(0, 'sha256:'.length + 12)
    if (state !== 'sending') {
      lastAt.delete(digest)
      write(`${name} ${state} ${formatSize(size)}`)
      return
    }
    if (size < minSize) return
    const before = lastAt.get(digest) ?? now()
    if (!lastAt.has(digest)) lastAt.set(digest, before)
    if (now() - before < interval) return
    lastAt.set(digest, now())
    write(`${name} sending ${Math.floor((100 * sent) / size)} % of ${formatSize(size)}`)
  }
}

/** Such as `retrying in 2 s`. */
export function describeRetry(pause: number): string {
  return `retrying in ${Math.max(Math.round(pause / 1000), 1)} s`
}
