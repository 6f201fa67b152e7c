/**
 * Every error that a client can be told of, with its HTTP status and the sentence that the
 * specification gives it.
 *
 * The first fourteen are the specification's whole list for 4XX answers (distribution-spec, "Error
 * Codes"). It names none for 5XX: `UNAVAILABLE` and `UNKNOWN` are Distribution's, because docker
 * retries codes that it does not know and gives up on `TOOMANYREQUESTS`, the only one of the list
 * that would come near (moby, `distribution/errors.go`).
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
  /** What was attempted on what, and what came of it. Shown to the client: never a secret. */
  readonly message?: string
  /** What to do about it; told after the message. */
  readonly advice?: string | undefined
  /**
   * Instead of the code's own status: the same fault is 400 from a client and 502 from an upstream.
   */
  readonly status?: number
  /** Seconds after which trying again makes sense; becomes `Retry-After`. */
  readonly retryAfter?: number
  readonly cause?: unknown
}

/**
 * The one error that crosses rooms. Callers branch on `code` and `status`, never on the message.
 */
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

/** The same, as it may be kept: causes hold on to whatever failed, for as long as they are held. */
export function withoutCause(error: RegistryError): RegistryError {
  const { code, message, status, retryAfter } = error
  return new RegistryError(code, {
    message,
    status,
    ...(retryAfter !== undefined && { retryAfter }),
  })
}

/** The body of an error answer (distribution-spec, "Error Codes"). */
export function errorBody({ code, message }: Pick<RegistryError, 'code' | 'message'>): string {
  return JSON.stringify({ errors: [{ code, message }] })
}
