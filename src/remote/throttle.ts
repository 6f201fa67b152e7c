import { RegistryError } from '../oci/errors.ts'

/** The longest pause that a Retry-After gets, in milliseconds. */
export const maxThrottle = 60_000
/**
 * The pause after a 429 that names none, in milliseconds: what is left of Artifact Registry's minute
 * is not known.
 */
const defaultThrottle = 5000
/** A probe that has not come back is followed by another after this, in milliseconds. */
const maxProbe = 20_000
/** How often those who wait for a probe look at its outcome, in milliseconds. */
const probeInterval = 100

/**
 * Holds requests back after a 429. When its time is over one request goes through as a probe, the
 * others wait for the outcome.
 */
export interface Throttle {
  /** Milliseconds after which it is worth looking again; 0: a request may go. */
  wait(): number
  /** A request goes: while others may not know whether the time is over, it is the probe. */
  enter(): void
  /** @throws RegistryError TOOMANYREQUESTS while requests are held back. */
  check(): void
  /** The upstream said 429; `seconds` from its Retry-After. */
  throttled(seconds: number | undefined): void
  /** The upstream answered anything else. */
  answered(): void
  /** Nothing was learned: if this was the probe, the next request is. */
  abandoned(): void
}

/** `what`: what is throttled, in messages. */
export function createThrottle(what: string): Throttle {
  let until = 0
  let probeUntil = 0

  const wait = (): number => {
    if (until === 0) return 0
    const now = performance.now()
    if (now < until) return until - now
    return now < probeUntil ? probeInterval : 0
  }

  return {
    wait,
    enter: () => {
      if (until !== 0) probeUntil = performance.now() + maxProbe
    },
    check: () => {
      const left = wait()
      if (left === 0) return
      const retryAfter = Math.max(Math.ceil(left / 1000), 1)
      throw new RegistryError('TOOMANYREQUESTS', {
        message: `${what}: throttled for ${retryAfter} s after 429 (too many requests)`,
        retryAfter,
      })
    },
    throttled: (seconds) => {
      const pause = seconds === undefined ? defaultThrottle : seconds * 1000
      until = performance.now() + Math.min(Math.max(pause, 1000), maxThrottle)
      probeUntil = 0
    },
    answered: () => {
      if (performance.now() >= until) until = 0
    },
    abandoned: () => {
      probeUntil = 0
    },
  }
}

/** The seconds of a Retry-After: a number or a date (RFC 9110, section 10.2.3). */
export function parseRetryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const seconds = /^\d{1,9}$/.test(value.trim())
    ? Number(value)
    : (Date.parse(value) - Date.now()) / 1000
  return Number.isFinite(seconds) ? Math.max(seconds, 0) : undefined
}
