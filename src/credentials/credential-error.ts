type CredentialErrorOptions = { readonly advice?: string | undefined; readonly cause?: unknown }

/** What a source could not do, and what to change so that it can. Neither holds a secret. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError'
  readonly advice: string | undefined

  constructor(message: string, { advice, cause }: CredentialErrorOptions = {}) {
    super(message, cause === undefined ? {} : { cause })
    this.advice = advice
  }
}
