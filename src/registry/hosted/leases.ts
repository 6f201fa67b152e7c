import type { Digest } from '../../oci/digest.ts'

/** Number of digests. Each takes some 150 bytes. */
const defaultMax = 50_000

/**
 * Digests that a client was told exist, so that it need not upload them: its manifest may arrive much
 * later. No collection may remove them, nor what they reference, before the lease ends. Leases are in
 * memory: after a start everything counts as leased for the same time.
 */
export interface Leases {
  /** Call it before looking whether the digest exists: the collector looks in the opposite order. */
  renew(digest: Digest): void
  isFresh(digest: Digest): boolean
}

type LeasesOptions = {
  /** Milliseconds. */
  readonly life: number
  /** Milliseconds since any fixed time. */
  readonly now: () => number
  readonly max?: number
}

export function createLeases({ life, now, max = defaultMax }: LeasesOptions): Leases {
  /** In the order of renewal. */
  const renewed = new Map<Digest, number>()
  /** Until then, a digest that is not in the map may have had a lease, and counts as leased. */
  let unknownUntil = now() + life

  const forgetOldest = (): void => {
    for (const [digest, at] of renewed) {
      const isOver = at + life <= now()
      if (!isOver && renewed.size <= max) return
      if (!isOver) unknownUntil = Math.max(unknownUntil, at + life)
      renewed.delete(digest)
    }
  }

  return {
    renew: (digest) => {
      renewed.delete(digest)
      renewed.set(digest, now())
      forgetOldest()
    },
    isFresh: (digest) => {
      const at = renewed.get(digest)
      return now() < (at === undefined ? unknownUntil : Math.max(unknownUntil, at + life))
    },
  }
}
