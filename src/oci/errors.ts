/**
 * All error codes of responses, with HTTP status and the message of the specification.
 *
 * The first fourteen are the specification's complete list for 4XX responses (distribution-spec, "Error
 * Codes"). It has none for 5XX: `UNAVAILABLE` and `UNKNOWN` are Distribution's. docker retries codes
 * that it does not know, but not `TOOMANYREQUESTS`, the only similar code in the list (moby,
 * `distribution/errors.go`).
 */
const codes = {
  BLOB_UNKNOWN: [404, 'blob unknown to registry'],
  BLOB_UPLOAD_INVALID: [400, 'blob upload invalid'],
  BLOB_UPLOAD_UNKNOWN: [404, 'blob upload unknown to registry'],
  DIGEST_INVALID: [400, 'provided digest did not match uploaded content'],
  MANIFEST_BLOB_UNKNOWN: [404, 'manifest references a manifest or blob unknown to registry'],
  MANIFEST_INVALID: [400, 'manifest invalid'],
  MANIFEST_UNKNOWN: [404, 'manifest unknown to registry'],
  NAME_INVALID: [400, 'invalid repository name'],
  NAME_UNKNOWN: [404, 'repository name not known to registry'],
  SIZE_INVALID: [400, 'provided length did not match content length'],
  UNAUTHORIZED: [401, 'authentication required'],
  DENIED: [403, 'requested access to the resource is denied'],
  UNSUPPORTED: [405, 'the operation is unsupported'],
  TOOMANYREQUESTS: [429, 'too many requests'],
  UNAVAILABLE: [503, 'service unavailable'],
  UNKNOWN: [500, 'internal error'],
} as const satisfies Record<string, readonly [status: number, message: string]>

export type ErrorCode = keyof typeof codes

type RegistryErrorOptions = {
  /** The attempt, its object and the result. Sent to clients: never a secret. */
  readonly message?: string
  /** What users can do; appended to the message. */
  readonly advice?: string | undefined
  /** Overrides the status of the code: the same error is 400 for a client and 502 for an upstream. */
  readonly status?: number
  /** Seconds until a retry can succeed, for `Retry-After`. */
  readonly retryAfter?: number
  readonly cause?: unknown
}

/** The only error that crosses rooms. Callers branch on `code` and `status`, never on the message. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError'
  readonly code: ErrorCode
  readonly status: number
  readonly retryAfter: number | undefined
  readonly advice: string | undefined

  constructor(
    code: ErrorCode,
    { message = codes[code][1], advice, status, retryAfter, cause }: RegistryErrorOptions = {},
  ) {
    super(
      advice === undefined ? message : `${message}; ${advice}`,
      cause === undefined ? {} : { cause },
    )
    this.code = code
    this.advice = advice
    this.status = status ?? codes[code][0]
    this.retryAfter = retryAfter
  }
}

export function isRegistryError(
  error: unknown,
  ...wanted: readonly ErrorCode[]
): error is RegistryError {
  return error instanceof RegistryError && (wanted.length === 0 || wanted.includes(error.code))
}

/** An upstream throttles: its 429, or the 503 that clients get for it. */
export function isThrottled(error: unknown): error is RegistryError {
  return (
    isRegistryError(error, 'TOOMANYREQUESTS') ||
    (isRegistryError(error) && isThrottled(error.cause))
  )
}

/** A copy for caches. The danger: a cause keeps the failed request and its buffers in memory. */
export function withoutCause(error: RegistryError): RegistryError {
  const { code, message, status, retryAfter } = error
  return new RegistryError(code, {
    message,
    status,
    ...(retryAfter !== undefined && { retryAfter }),
    ...(isThrottled(error.cause) && { cause: withoutCause(error.cause) }),
  })
}

/** The body of an error response (distribution-spec, "Error Codes"). */
export function errorBody({ code, message }: Pick<RegistryError, 'code' | 'message'>): string {
  return JSON.stringify({ errors: [{ code, message }] })
}
