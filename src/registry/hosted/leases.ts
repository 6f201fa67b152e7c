import type { Digest } from '../../oci/digest.ts'

/** Number of digests. Each takes some 150 bytes. */
const defaultMax = 50_000

/**
 * Digests that the registry confirmed to a client, so that it need not upload them: its manifest may arrive much
 * later. No collection may remove them, nor what they reference, before the lease ends. Leases are in
 * memory: after a start everything counts as leased for the same time.
 */
export interface Leases {
  /**
   * Call it before looking whether the digest exists. Resolves at once, or else when the collector has
   * finished the rename that it claimed the digest for: what is seen from then on stays.
   */
  renew(digest: Digest): Promise<void>
  isFresh(digest: Digest): boolean
  /**
   * For the collector, for as long as one removal takes; it calls the result afterwards. Undefined:
   * the digest is leased.
   */
  claim(digest: Digest): (() => void) | undefined
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
  const claims = new Map<Digest, Promise<void>>()
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

  const isFresh = (digest: Digest): boolean => {
    const at = renewed.get(digest)
    return now() < (at === undefined ? unknownUntil : Math.max(unknownUntil, at + life))
  }

  return {
    renew: async (digest) => {
      renewed.delete(digest)
      renewed.set(digest, now())
      forgetOldest()
      await claims.get(digest)
    },
    isFresh,
    claim: (digest) => {
      if (isFresh(digest) || claims.has(digest)) return undefined
      const { promise, resolve } = Promise.withResolvers<void>()
      claims.set(digest, promise)
      return () => {
        claims.delete(digest)
        resolve()
      }
    },
  }
}
