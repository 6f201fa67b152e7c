import { hash } from '@node-rs/bcrypt'
import type { AccessRule, Action, Auth, Authentication, Identity } from './access.ts'
import { type Basic, hasControls } from './basic.ts'
import { createLogins, maxPasswordBytes } from './logins.ts'
import { createPolicy } from './policy.ts'
import { parseCredentials } from './token-header.ts'
import type { TokenVerifier } from './token-verifier.ts'
import { createTokens } from './tokens.ts'

export type { Action, Auth, Authentication, Identity } from './access.ts'
export { createKeySet, type IssuerKeys } from './key-set.ts'
export { createReviewedTokens } from './reviewed-tokens.ts'
export { createSignedTokens } from './signed-tokens.ts'
export type { TokenVerifier } from './token-verifier.ts'

/** @throws Error if the password is unusable for a login, or longer than bcrypt reads. */
export async function hashPassword(password: string, cost: number): Promise<string> {
  if (password === '') throw new Error('the password is empty')
  if (hasControls(password))
    throw new Error('the password contains control characters, such as newlines')
  if (Buffer.byteLength(password) > maxPasswordBytes)
    throw new Error(`the password is longer than ${maxPasswordBytes} bytes, the maximum of bcrypt`)
  return hash(password, { cost, version: '2y' })
}

/** In characters. A longer header with a password is verified, at the latest by the cache of verifications. */
const maxPasswordHeader = 400

type AuthOptions = {
  /** Content of the htpasswd file; undefined: there are no users. */
  readonly htpasswd?: string | undefined
  /** Verifies service account tokens; undefined: none is accepted. */
  readonly verifier?: TokenVerifier | undefined
  /** `rules`: without users, the rules for `*` apply to everyone. That is also so with `none`. */
  readonly anonymous: 'none' | 'pull' | 'rules'
  readonly access: readonly AccessRule[]
}

export async function createAuth(options: AuthOptions): Promise<Auth> {
  const { htpasswd, verifier, anonymous, access } = options
  const logins = htpasswd === undefined ? undefined : await createLogins(htpasswd)
  const tokens = verifier === undefined ? undefined : createTokens({ verifier })
  const hasUsers = logins !== undefined || tokens !== undefined
  const policy = createPolicy(access)
  const anonymousIdentity = { kind: 'anonymous' } as const
  const withoutAuth = { kind: 'auth-off' } as const
  /** Users who log in keep the access of anonymous users. */
  const isOpenToAll = (action: Action, isOpen: boolean) =>
    anonymous === 'pull' && action === 'pull' && isOpen
  const withoutLogin = anonymous === 'pull' ? anonymousIdentity : undefined

  /** Hashing a long header twice would double the cost of a request with a token. */
  const cachedIdentity = (authorization: string): Identity | undefined => {
    if (authorization.length > maxPasswordHeader) return tokens?.cachedAccount(authorization)
    const name = logins?.cachedUser(authorization)
    return name === undefined ? undefined : { kind: 'user', name }
  }

  const withPassword = (
    authorization: string,
    login: Basic,
  ): Authentication | Promise<Authentication> => {
    // podman without credentials answers a Basic challenge with empty ones (containers/image,
    // setupRequestAuth).
    if (login.username === '' && login.password === '') return withoutLogin
    return logins
      ?.verify(authorization, login)
      .then((isCorrect) => (isCorrect ? { kind: 'user', name: login.username } : undefined))
  }

  const known = (authorization: string | undefined): Identity | undefined => {
    if (!hasUsers) return anonymous === 'pull' ? anonymousIdentity : withoutAuth
    return authorization === undefined ? withoutLogin : cachedIdentity(authorization)
  }

  return {
    mode: !hasUsers ? 'off' : anonymous === 'pull' ? 'optional' : 'required',

    known,

    authenticate: (authorization) => {
      // Before the header is parsed: most requests end here.
      const identity = known(authorization)
      if (identity !== undefined || authorization === undefined) return identity
      const credentials = parseCredentials(authorization)
      if (credentials === undefined) return undefined
      if (credentials.kind === 'password') return withPassword(authorization, credentials.login)
      return tokens?.verify(authorization, credentials.token)
    },

    allows: (identity, action, name, isOpen) => {
      switch (identity.kind) {
        case 'auth-off':
          return policy.allows({ kind: 'everyone' }, action, name)
        case 'anonymous':
          return isOpenToAll(action, isOpen)
        case 'user':
        case 'service-account':
          return isOpenToAll(action, isOpen) || policy.allows(identity, action, name)
      }
    },

    extentOf: (identity, action) => {
      switch (identity.kind) {
        case 'auth-off':
          return policy.extentOf({ kind: 'everyone' }, action)
        case 'anonymous':
          return isOpenToAll(action, true) ? 'some' : 'none'
        case 'user':
        case 'service-account': {
          const extent = policy.extentOf(identity, action)
          return extent === 'none' && isOpenToAll(action, true) ? 'some' : extent
        }
      }
    },

    reload: async (text) => {
      await logins?.reload(text)
    },
  }
}
