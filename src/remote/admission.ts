import { setTimeout as sleep } from 'node:timers/promises'
import { isRegistryError } from '../oci/errors.ts'
import type { Breaker } from '../outbound/outbound.ts'
import { Throttled, UpstreamFailure } from './faults.ts'
import { type Kind, kinds } from './kinds.ts'
import { type Claim, createSlots, type Release } from './slots.ts'
import { createThrottle } from './throttle.ts'

/** One request that waits to be sent to the upstream. */
export type Entry = {
  readonly kind: Kind
  readonly repository: string
  /** The client that made the request, if known. */
  readonly client?: string | undefined
  /** Deadline of the wait, on the monotonic clock in milliseconds. */
  readonly until: number
  /** Deadline of the wait for the end of a throttle. */
  readonly throttledUntil: number
  readonly signal?: AbortSignal | undefined
  readonly releaseSlot?: Claim['releaseSlot']
}

/** Permission to send one request. It ends with one of `answered`, `failed` and `abandoned`. */
interface Permit {
  /** The slot is released when the body has been read or dropped. */
  answered(settled: Promise<void>): void
  failed(error: unknown): void
  /** No client needs the answer any more. */
  abandoned(): void
}

/**
 * Decides which requests may be sent to the upstream, and when: slots, rates and 429 by kind, after
 * the breaker of the upstream's own host.
 */
export interface Admission {
  /** @throws RegistryError UNAVAILABLE; TOOMANYREQUESTS when the wait would exceed its deadline. */
  admit(entry: Entry): Promise<Permit>
  /** Which requests are not sent at the moment, and why. */
  problem(): string | undefined
}

type AdmissionOptions = { readonly origin: string; readonly breaker: Breaker }

export function createAdmission({ origin, breaker }: AdmissionOptions): Admission {
  const byKind = new Map(
    Object.entries(kinds).map(([kind, options]) => [
      kind,
      {
        slots: createSlots(options),
        throttle: createThrottle(`not requesting ${options.purpose} from ${origin}`),
      },
    ]),
  )
  const partsOf = (kind: Kind) => {
    const parts = byKind.get(kind)
    if (parts === undefined) throw new Error(`no slots for ${kind}`)
    return parts
  }

  /** Waits while the kind is throttled, if the throttle ends before the deadline. */
  const untilUnthrottled = async ({ kind, throttledUntil, signal }: Entry): Promise<void> => {
    const { throttle } = partsOf(kind)
    for (let wait = throttle.wait(); wait > 0; wait = throttle.wait()) {
      if (performance.now() + wait > throttledUntil) throttle.check()
      await sleep(wait, undefined, { ...(signal && { signal }) }).catch(() => {})
      signal?.throwIfAborted()
    }
  }

  const takeSlot = ({ kind, repository, client, until, signal, releaseSlot }: Entry) =>
    partsOf(kind).slots.take({
      repository,
      client,
      maxWait: until - performance.now(),
      signal,
      releaseSlot,
    })

  const permitOf = ({ kind }: Entry, release: Release): Permit => {
    const { throttle } = partsOf(kind)
    return {
      answered: (settled) => {
        throttle.answered()
        void settled.then(() => release())
      },
      failed: (error) => {
        release()
        if (error instanceof Throttled) throttle.throttled(error.retryAfter, error.reason)
        else if (error instanceof UpstreamFailure || isRegistryError(error, 'DENIED'))
          throttle.answered()
        else throttle.abandoned()
      },
      abandoned: () => {
        release()
        throttle.abandoned()
      },
    }
  }

  return {
    admit: async (entry) => {
      const { throttle } = partsOf(entry.kind)
      for (;;) {
        await untilUnthrottled(entry)
        breaker.check()
        const release = await takeSlot(entry)
        // Another request may have been throttled meanwhile: a request that waits for that holds no
        // slot.
        if (throttle.wait() === 0) {
          throttle.enter()
          return permitOf(entry, release)
        }
        release('unused')
      }
    },
    problem: () => {
      const throttled = [...byKind].filter(([, { throttle }]) => throttle.wait() > 0)
      if (throttled.length === 0) return undefined
      const what = throttled.map(([kind]) => kind).join(', ')
      return `${origin} throttles (429): ${what}; Berth waits and retries by itself; a login may have a higher limit`
    },
  }
}
