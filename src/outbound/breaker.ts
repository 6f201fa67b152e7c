import { RegistryError } from '../oci/errors.ts'

/** Failed connections in a row that open the breaker. */
const maxFailures = 5
/** How long the breaker stays open, in milliseconds. Doubles while probes fail. */
const firstPause = 2000
/** The longest pause: a host that recovers is detected within it, and downloads wait for it. */
const maxPause = 10_000
/** A probe without an answer is followed by another after this, in milliseconds. */
const maxProbe = 20_000

/**
 * Stops requests to a host that refuses connections, so that clients get an immediate answer. After
 * the pause one request is sent as a probe. Any answer, whatever its status, counts as a success:
 * the content may be broken, but the host is up.
 */
export interface Breaker {
  /**
   * Announces that a request is about to be sent; after a pause it is the probe.
   * @throws RegistryError UNAVAILABLE while open.
   */
  enter(): void
  /** As `enter`, for callers that have to wait for something else first. */
  check(): void
  succeeded(): void
  /** `why` goes into the error of rejected requests. */
  failed(why: string): void
  /** The request ended without a result: if it was the probe, the next request is. */
  abandoned(): void
  /** Why the breaker is open. */
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
      // Requests in flight when the breaker opened give no new information.
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
