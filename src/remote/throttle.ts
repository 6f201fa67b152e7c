import { RegistryError } from '../oci/errors.ts'

/** The longest pause that a Retry-After can cause, in milliseconds. */
export const maxThrottle = 60_000
/**
 * The pause after a 429 without Retry-After, in milliseconds: the remainder of Artifact Registry's
 * one-minute window is unknown.
 */
const defaultThrottle = 5000
/** A probe without an answer is followed by another after this, in milliseconds. */
const maxProbe = 20_000
/** How often requests that wait for a probe check its outcome, in milliseconds. */
const probeInterval = 100

/**
 * Holds requests back after a 429. When the pause ends, one request is sent as a probe, and the
 * others wait for its outcome.
 */
export interface Throttle {
  /** Milliseconds until the next check; 0: a request may be sent. */
  wait(): number
  /** Announces a request: while it is unknown whether the throttle has ended, it is the probe. */
  enter(): void
  /** @throws RegistryError TOOMANYREQUESTS while requests are held back. */
  check(): void
  /** The upstream answered 429; `seconds` from its Retry-After, `reason` in its words. */
  throttled(seconds: number | undefined, reason?: string): void
  /** The upstream sent any other answer. */
  answered(): void
  /** The request ended without a result: if it was the probe, the next request is. */
  abandoned(): void
}

/** `what`: what is throttled, in messages. */
export function createThrottle(what: string): Throttle {
  let until = 0
  let probeUntil = 0
  let why = ''

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
        message: `${what}: throttled for ${retryAfter} s after 429 (${why})`,
        retryAfter,
      })
    },
    throttled: (seconds, reason) => {
      why = reason || 'too many requests'
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

/** More seconds than any caller waits. */
const maxRetryAfter = 1_000_000_000

/**
 * The seconds of a Retry-After: a number or a date (RFC 9110, section 10.2.3). A date is compared with `date`, that of
 * the same response, since clocks differ: by ours, a pause could be long over, and each second a request would follow.
 */
export function parseRetryAfter(
  value: string | undefined,
  date?: string | undefined,
): number | undefined {
  const text = value?.trim() ?? ''
  if (/^\d+(?:\.\d+)?$/.test(text)) return Math.min(Number(text), maxRetryAfter)
  // Without a letter it is no date, though Date.parse takes -5 and 1,5 for one.
  if (!/[a-z]/i.test(text)) return undefined
  const sent = Date.parse(date ?? '')
  const seconds = (Date.parse(text) - (Number.isNaN(sent) ? Date.now() : sent)) / 1000
  return Number.isFinite(seconds) ? Math.max(seconds, 0) : undefined
}
