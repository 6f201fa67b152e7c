import { RegistryError } from '../oci/errors.ts'

/** Failed connections in a row that open the breaker. */
const maxFailures = 5
/** How long it stays open, doubling while probes fail, in milliseconds. */
const firstPause = 2000
/** A host that is back is noticed within this; downloads wait for it. */
const maxPause = 10_000
/** A probe that has not come back is followed by another after this, in milliseconds. */
const maxProbe = 20_000

/**
 * Keeps requests from a host that cannot be connected to, so that clients are answered at once.
 * After the pause one request goes through as a probe. An answer, whatever it says, is no failure:
 * what it is about may be broken, the host is up.
 */
export interface Breaker {
  /**
   * A request is about to go; after a pause it is the probe.
   * @throws RegistryError UNAVAILABLE while open.
   */
  enter(): void
  /** As `acquireSlot`, for those who have something else to wait for before. */
  check(): void
  succeeded(): void
  /** `why` goes into the error of those who are turned away. */
  failed(why: string): void
  /** Nothing was learned: if this was the probe, the next request is. */
  abandoned(): void
  /** Why it is open. */
  problem(): string | undefined
}

type BreakerOptions = {
  /** The host in messages. */
  readonly origin: string
  readonly onChange: (open: boolean) => void
}

export function createBreaker({ origin, onChange }: BreakerOptions): Breaker {
  let failures = 0
  let pause = firstPause
  let openUntil = 0
  let reason = ''
  let probeUntil = 0

  const check = (): void => {
    if (openUntil === 0) return
    const now = performance.now()
    if (now >= openUntil && now >= probeUntil) return
    const retryAfter = Math.ceil(Math.max(openUntil - now, 1000) / 1000)
    throw new RegistryError('UNAVAILABLE', {
      message: `not contacting ${origin} for ${retryAfter} s after ${failures} failed connections: ${reason}`,
      retryAfter,
    })
  }

  return {
    check,
    enter: () => {
      check()
      if (openUntil !== 0) probeUntil = performance.now() + maxProbe
    },
    succeeded: () => {
      failures = 0
      pause = firstPause
      if (openUntil === 0 || performance.now() < openUntil) return
      openUntil = 0
      onChange(false)
    },
    failed: (why) => {
      // Requests that were on their way when it opened say nothing new.
      if (performance.now() < openUntil) return
      failures += 1
      if (failures < maxFailures && openUntil === 0) return
      const wasOpen = openUntil !== 0
      openUntil = performance.now() + pause
      probeUntil = 0
      reason = why
      pause = Math.min(pause * 2, maxPause)
      if (!wasOpen) onChange(true)
    },
    abandoned: () => {
      probeUntil = 0
    },
    problem: () =>
      openUntil === 0
        ? undefined
        : `not contacting ${origin} after ${failures} failed connections: ${reason}`,
  }
}
