import { type Basic, parseBasic } from './basic.ts'
import { maxPasswordBytes } from './logins.ts'

/** In characters. Tokens of the API server have 1000 to 3000. */
const maxTokenLength = 6000

const jwt = /^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*$/

/** Undefined: a header that has neither a token nor a password. */
export type Credentials =
  | { readonly kind: 'password'; readonly login: Basic }
  | { readonly kind: 'token'; readonly token: string }

/**
 * A token is a Bearer token (RFC 6750), or the password of any user: docker, containerd and others can
 * send nothing else. A JWT is longer than every password that a user of the htpasswd file can have, so the
 * two cannot be confused.
 */
export function parseCredentials(authorization: string): Credentials | undefined {
  const bearer = /^bearer +([^ ]+) *$/i.exec(authorization)?.[1]
  if (bearer !== undefined) return isToken(bearer) ? { kind: 'token', token: bearer } : undefined
  const login = parseBasic(authorization)
  if (login === undefined) return undefined
  const { password } = login
  return password.length > maxPasswordBytes && isToken(password)
    ? { kind: 'token', token: password }
    : { kind: 'password', login }
}

function isToken(text: string): boolean {
  return text.length <= maxTokenLength && jwt.test(text)
}
