type CredentialErrorOptions = {
  readonly advice?: string | undefined
  readonly denied?: boolean
  readonly cause?: unknown
}

/** What a source could not do, and what to change so that it can. Neither holds a secret. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError'
  readonly advice: string | undefined
  /** The upstream itself said that we may not: no failure, which would leave what is stale in force. */
  readonly denied: boolean

  constructor(message: string, { advice, denied = false, cause }: CredentialErrorOptions = {}) {
    super(message, cause === undefined ? {} : { cause })
    this.advice = advice
    this.denied = denied
  }
}
