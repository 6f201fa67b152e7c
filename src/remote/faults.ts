import { isRegistryError, RegistryError } from '../oci/errors.ts'
import {
  adviceForTls,
  describeFault,
  ForbiddenAddress,
  type Fault as NetworkFault,
} from '../outbound/outbound.ts'
import type { ListField } from './origins.ts'

/**
 * How an upstream failed: on the network; `failing`: 5XX; or `redirected`: a redirect target
 * refuses what the registry allowed, for example because a signed URL has expired.
 */
type Fault = NetworkFault | 'failing' | 'redirected'

/**
 * A failure of the upstream, not of Berth or the client. Its message is for clients; its cause, an
 * error from another library, is for the log.
 */
export class UpstreamFailure extends RegistryError {
  readonly fault: Fault
  /** Seconds for which the upstream accepts no requests: its Retry-After, or 0. */
  readonly throttledFor: number

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
    this.throttledFor = retryAfter ?? 0
  }
}

/** What to do about 429 and 5XX: for problems of an upstream, and for the doctor. */
export const passingAdvice =
  'the registry, or a proxy in front of it, fails at the moment; Berth retries by itself'

type Throttling = {
  /** Seconds. */
  readonly retryAfter: number | undefined
  readonly reason: string | undefined
}

/** The upstream answered 429 to this kind of request. */
export class Throttled extends RegistryError {
  /** The upstream's own words. */
  readonly reason: string | undefined

  constructor(message: string, { retryAfter, reason }: Partial<Throttling> = {}) {
    super('TOOMANYREQUESTS', { message, ...(retryAfter !== undefined && { retryAfter }) })
    this.reason = reason
  }
}

/**
 * A 400, 401, 403 or 404 that no registry wrote, and that therefore does not show what the registry has
 * or allows.
 */
export class UnconfirmedAnswer extends RegistryError {
  readonly answered: number

  constructor(origin: string, status: number) {
    super('UNAVAILABLE', {
      message: `${origin} answered ${status}, but not as a registry does`,
      // What Go's server and nginx answer to plain HTTP on a port for TLS.
      advice:
        status === 400 && origin.startsWith('http:')
          ? adviceForTls
          : 'check the URL, and what answers there: an ingress without a backend, a proxy, or a login page',
      status: 502,
    })
    this.answered = status
  }
}

/** Whether the connection failed for a reason outside Berth: the host is down. */
export function isConnectFailure(error: unknown): error is UpstreamFailure {
  if (!(error instanceof UpstreamFailure)) return false
  if (error.fault === 'untrusted') return true
  return error.fault === 'unreachable' && !localCodes.has(describeFault(error.cause).code)
}

const localCodes = new Set(['EADDRNOTAVAIL', 'EMFILE', 'ENFILE'])

/**
 * Whether a repetition may succeed: the upstream cannot be reached, is broken or requests a pause. An answer
 * that is not HTTP, a certificate that is not trusted, and a name that does not resolve stay as they are.
 */
export function isTemporary(error: unknown): error is RegistryError {
  if (error instanceof UnconfirmedAnswer) return error.answered !== 400
  if (!(error instanceof UpstreamFailure))
    return (
      isRegistryError(error, 'UNAVAILABLE', 'TOOMANYREQUESTS') && error.retryAfter !== undefined
    )
  const { fault, cause } = error
  if (fault === 'unreachable') return !lastingCodes.has(describeFault(cause).code)
  return fault !== 'untrusted' && fault !== 'garbled'
}

/** The name does not resolve; our side was closed. */
const lastingCodes = new Set(['ENOTFOUND', 'UND_ERR_DESTROYED'])

/** The Retry-After for clients when the upstream sends none, in seconds. */
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
 * Translates an error that the HTTP client threw for `origin`. The upstream's field `listedUnder`
 * would allow this origin at any address.
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
  const { fault, why, advice } = describeFault(error, origin)
  return new UpstreamFailure(fault, `cannot use ${origin}: ${why}`, { advice, cause: error })
}

/** The configuration field and value that would allow `url`. */
export function adviceToList(url: URL, field: ListField): string {
  const entry = url.protocol === 'https:' ? url.host : url.origin
  return `if that is right, list ${entry} under upstreams[].${field}`
}
