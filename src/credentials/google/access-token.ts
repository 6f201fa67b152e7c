import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'

/** An access token. */
export type Token = {
  readonly token: string
  /** In milliseconds since 1970. */
  readonly expiry?: number | undefined
}

/** What no header can hold is none, and would be kept for its life. */
export const tokenText = z.string().regex(/^[\x21-\x7e]+$/)

/** In seconds. Who emulates Google's services may write it as text, or leave it out. */
export const lifeInSeconds = z.coerce.number().optional().catch(undefined)

type Client = {
  getAccessToken(): Promise<{ token?: string | null | undefined }>
  readonly credentials: { readonly expiry_date?: number | null | undefined }
}

/** Has a client of the library's exchange what it has for a token. */
export async function tokenOf(client: Client): Promise<Token> {
  const { data: token } = tokenText.safeParse((await client.getAccessToken()).token)
  if (token === undefined) throw noToken()
  return { token, expiry: client.credentials.expiry_date ?? undefined }
}

export function expiryIn(life: number | undefined): number | undefined {
  return life === undefined ? undefined : Date.now() + life * 1000
}

export function noToken(): CredentialError {
  return new CredentialError('Google answered with something that is no access token', {
    advice: 'look whether a proxy, or a page that wants a login, stands in between',
  })
}
