import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'

/** An access token. */
export type Token = {
  readonly token: string
  /** In milliseconds since 1970. */
  readonly expiry?: number | undefined
}

/** An HTTP header must be able to hold it; anything else would be kept for its whole lifetime. */
export const tokenText = z.string().regex(/^[\x21-\x7e]+$/)

/** In seconds. Emulators of Google's services return it as text, or omit it. */
export const lifetimeInSeconds = z.coerce.number().optional().catch(undefined)

type Client = {
  getAccessToken(): Promise<{ token?: string | null | undefined }>
  readonly credentials: { readonly expiry_date?: number | null | undefined }
}

/** Performs the exchange of one of the library's clients. */
export async function tokenOf(client: Client): Promise<Token> {
  const { data: token } = tokenText.safeParse((await client.getAccessToken()).token)
  if (token === undefined) throw noAccessToken()
  return { token, expiry: client.credentials.expiry_date ?? undefined }
}

export function expiryIn(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Date.now() + seconds * 1000
}

export function noAccessToken(): CredentialError {
  return new CredentialError('Google answered without an access token', {
    advice: 'check whether a proxy or a login page intercepts the request',
  })
}
