import { CredentialError } from './credential-error.ts'

/** An access token. */
export type Token = {
  readonly token: string
  /** In milliseconds since 1970. */
  readonly expiry?: number | undefined
}

type Client = {
  getAccessToken(): Promise<{ token?: string | null | undefined }>
  readonly credentials: { readonly expiry_date?: number | null | undefined }
}

/** Has a client of the library's exchange what it has for a token. */
export async function tokenOf(client: Client): Promise<Token> {
  const { token } = await client.getAccessToken()
  if (!token) throw noToken()
  return { token, expiry: client.credentials.expiry_date ?? undefined }
}

export function noToken(): CredentialError {
  return new CredentialError('Google answered with something that is no access token', {
    advice: 'look whether a proxy, or a page that wants a login, stands in between',
  })
}
