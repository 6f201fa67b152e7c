type CredentialErrorOptions = {
  readonly advice?: string | undefined
  readonly denied?: boolean
  readonly cause?: unknown
}

/** A failure of a source, and what to change. Neither contains a secret. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError'
  readonly advice: string | undefined
  /** The upstream denied access. This is not an outage, during which stale content may be served. */
  readonly denied: boolean

  constructor(message: string, { advice, denied = false, cause }: CredentialErrorOptions = {}) {
    super(message, cause === undefined ? {} : { cause })
    this.advice = advice
    this.denied = denied
  }
}
