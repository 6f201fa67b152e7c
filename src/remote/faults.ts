import { RegistryError } from '../oci/errors.ts'
import {
  describeFault,
  ForbiddenAddress,
  type Fault as NetworkFault,
} from '../outbound/outbound.ts'
import type { ListField } from './origins.ts'

/**
 * How an upstream failed: on the network; `failing`: 5XX; or `redirected`: where the registry redirects
 * to refuses what the registry allowed, as it does when a signed URL has expired.
 */
type Fault = NetworkFault | 'failing' | 'redirected'

/**
 * The upstream's fault, not ours and not the client's. Its message is for clients; the cause, a
 * foreign error, for the log.
 */
export class UpstreamFailure extends RegistryError {
  readonly fault: Fault
  /** Seconds that the upstream itself asked to be left alone for. */
  readonly quiet: number

  constructor(
    fault: Fault,
    message: string,
    {
      cause,
      retryAfter,
      advice,
    }: { cause?: unknown; retryAfter?: number; advice?: string | undefined },
  ) {
    super('UNAVAILABLE', {
      message,
      advice,
      status: statuses[fault],
      retryAfter: Math.ceil(retryAfter ?? defaultRetryAfter),
      cause,
    })
    this.fault = fault
    this.quiet = retryAfter ?? 0
  }
}

/** The upstream answered 429 to the kind of question that was asked. */
export class Throttled extends RegistryError {
  constructor(message: string, retryAfter: number | undefined) {
    super('TOOMANYREQUESTS', { message, ...(retryAfter !== undefined && { retryAfter }) })
  }
}

/**
 * A 401, 403 or 404 that no registry wrote, and that therefore says nothing of what the registry has
 * or allows.
 */
export class UnconfirmedAnswer extends RegistryError {
  constructor(origin: string, status: number) {
    super('UNAVAILABLE', {
      message: `${origin} answered ${status}, but not as a registry does`,
      advice:
        "check the upstream's url, and what answers there: an ingress without a backend, a proxy, or a login page",
      status: 502,
    })
  }
}

/** Whether there was no connection, for a reason that is not ours: the host is down. */
export function isConnectFailure(error: unknown): error is UpstreamFailure {
  if (!(error instanceof UpstreamFailure)) return false
  if (error.fault === 'untrusted') return true
  return error.fault === 'unreachable' && !localCodes.has(describeFault(error.cause).code)
}

const localCodes = new Set(['EADDRNOTAVAIL', 'EMFILE', 'ENFILE'])

/** What clients are told when the upstream does not say, in seconds. */
const defaultRetryAfter = 5

const statuses = {
  unreachable: 503,
  broken: 503,
  slow: 504,
  untrusted: 502,
  garbled: 502,
  failing: 503,
  redirected: 502,
} as const satisfies Record<Fault, number>

/**
 * Translates whatever the HTTP client threw while talking to `origin`, which the upstream's field
 * `listedUnder` would allow at any address.
 */
export function toUpstreamFailure(
  error: unknown,
  origin: string,
  listedUnder: ListField = 'redirects',
): RegistryError {
  if (error instanceof RegistryError) return error
  if (error instanceof ForbiddenAddress)
    return new RegistryError('UNAVAILABLE', {
      message: `not connecting to ${origin}: ${error.message}`,
      advice: adviceToList(new URL(origin), listedUnder),
      status: 502,
      cause: error,
    })
  const { fault, why, advice } = describeFault(error)
  return new UpstreamFailure(fault, `cannot use ${origin}: ${why}`, { advice, cause: error })
}

/** What to write where, so that `url` is allowed. */
export function adviceToList(url: URL, field: ListField): string {
  const entry = url.protocol === 'https:' ? url.host : url.origin
  return `if that is right, list ${entry} under upstreams[].${field}`
}
