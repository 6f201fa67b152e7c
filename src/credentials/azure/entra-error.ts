import { CredentialError } from '../credential-error.ts'

/** A request that Entra rejected, with its code (https://aka.ms/AADSTS-codes) without the prefix. */
export class EntraError extends CredentialError {
  readonly code: string

  constructor(message: string, { code, advice }: { code: string; advice: string | undefined }) {
    super(message, { advice })
    this.code = code
  }
}
