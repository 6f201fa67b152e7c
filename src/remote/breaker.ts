import { RegistryError } from '../oci/errors.ts'

/** Failures in a row that open the breaker. */
const tolerance = 5
/** How long it stays open after failures, doubling while probes fail, in milliseconds. */
const firstPause = 2000
const longestPause = 30_000
/** The longest quiet that a Retry-After gets, in milliseconds. */
export const longestQuiet = 60_000
/**
 * Quiet after a 429 that names none: what is left of Artifact Registry's minute is not known, and
 * this is polite.
 */
const usualQuiet = 5000
/** A probe that has not come back is given up for, in milliseconds. */
const probePatience = 20_000
/** How often those who wait look what became of it, in milliseconds. */
const probeLook = 100

/**
 * Keeps requests from an upstream that fails or that asked for quiet, so that clients are answered
 * at once and the upstream can recover. After the pause one request goes through as a probe; the
 * others wait for what becomes of it.
 */
export interface Breaker {
  /** @throws RegistryError UNAVAILABLE while open. */
  check(): void
  succeeded(): void
  /** `why` is told to those who are turned away. */
  failed(why: string): void
  /** The upstream said 429; `seconds` from its Retry-After. */
  throttled(seconds: number | undefined): void
  /** Nothing was learned of the upstream: if this was the probe, the next one is. */
  abandoned(): void
  isOpen(): boolean
  /**
   * Milliseconds after which it is worth looking again, while the upstream has asked for quiet and
   * somebody else asks whether it is over; undefined when `check` has the answer.
   */
  quiet(): number | undefined
}

type BreakerOptions = {
  /** The upstream in the error's words. */
  readonly origin: string
  readonly onChange: (open: boolean) => void
}

export function createBreaker({ origin, onChange }: BreakerOptions): Breaker {
  let failures = 0
  let pause = firstPause
  let openUntil = 0
  let reason = ''
  let probeUntil = 0
  let throttling = false

  const open = (duration: number, why: string): void => {
    openUntil = performance.now() + duration
    throttling = false
    probeUntil = 0
    reason = why
    onChange(true)
  }

  return {
    check: () => {
      if (openUntil === 0) return
      const now = performance.now()
      if (now >= openUntil && now >= probeUntil) {
        probeUntil = now + probePatience
        return
      }
      const left = Math.max(openUntil - now, 1000)
      throw new RegistryError('UNAVAILABLE', {
        message: `${origin} is left alone for a moment: ${reason}`,
        retryAfter: Math.ceil(left / 1000),
      })
    },
    succeeded: () => {
      failures = 0
      pause = firstPause
      if (openUntil === 0 || performance.now() < openUntil) return
      openUntil = 0
      onChange(false)
    },
    failed: (why) => {
      // Those that were already on their way when it opened tell nothing new.
      if (performance.now() < openUntil) return
      failures += 1
      if (failures < tolerance && openUntil === 0) return
      open(pause, why)
      pause = Math.min(pause * 2, longestPause)
    },
    throttled: (seconds) => {
      const asked = seconds === undefined ? usualQuiet : seconds * 1000
      open(Math.min(Math.max(asked, 1000), longestQuiet), 'it answered 429 (too many requests)')
      throttling = true
    },
    abandoned: () => {
      probeUntil = 0
    },
    isOpen: () => openUntil !== 0,
    quiet: () => {
      const now = performance.now()
      if (openUntil === 0 || !throttling) return undefined
      if (now < openUntil) return openUntil - now
      return now < probeUntil ? probeLook : undefined
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
