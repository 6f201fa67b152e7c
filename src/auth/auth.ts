import { hash } from '@node-rs/bcrypt'
import type { AccessRule, Action, Auth } from './access.ts'
import { hasControls, parseBasic } from './basic.ts'
import { createLogins, maxPasswordBytes } from './logins.ts'
import { createPolicy } from './policy.ts'

export type { Action, Auth, Identity } from './access.ts'

/** @throws Error if the password is unusable for a login, or longer than bcrypt reads. */
export async function hashPassword(password: string, cost: number): Promise<string> {
  if (password === '') throw new Error('the password is empty')
  if (hasControls(password))
    throw new Error('the password contains control characters, such as newlines')
  if (Buffer.byteLength(password) > maxPasswordBytes)
    throw new Error(`the password is longer than ${maxPasswordBytes} bytes, the maximum of bcrypt`)
  return hash(password, { cost, version: '2y' })
}

type AuthOptions = {
  /** Content of the htpasswd file; undefined: there are no users. */
  readonly htpasswd?: string | undefined
  /** `rules`: without users, the rules for `*` apply to everyone. That is also so with `none`. */
  readonly anonymous: 'none' | 'pull' | 'rules'
  readonly access: readonly AccessRule[]
}

export async function createAuth({ htpasswd, anonymous, access }: AuthOptions): Promise<Auth> {
  const logins = htpasswd === undefined ? undefined : await createLogins(htpasswd)
  const allowsUser = createPolicy(access)
  const anonymousIdentity = { kind: 'anonymous' } as const
  const withoutAuth = { kind: 'auth-off' } as const
  /** Users who log in keep the access of anonymous users. */
  const isOpenToAll = (action: Action, isOpen: boolean) =>
    anonymous === 'pull' && action === 'pull' && isOpen
  const withoutLogin = anonymous === 'pull' ? anonymousIdentity : undefined

  return {
    mode: logins === undefined ? 'off' : anonymous === 'pull' ? 'optional' : 'required',

    authenticate: (authorization) => {
      if (logins === undefined) return anonymous === 'pull' ? anonymousIdentity : withoutAuth
      if (authorization === undefined) return withoutLogin
      const known = logins.cachedUser(authorization)
      if (known !== undefined) return { kind: 'user', name: known }
      const basic = parseBasic(authorization)
      if (basic === undefined) return undefined
      // podman without credentials answers a Basic challenge with empty ones (containers/image,
      // setupRequestAuth).
      if (basic.username === '' && basic.password === '') return withoutLogin
      return logins
        .verify(authorization, basic)
        .then((isCorrect) => (isCorrect ? { kind: 'user', name: basic.username } : undefined))
    },

    allows: (identity, action, name, isOpen) => {
      switch (identity.kind) {
        case 'auth-off':
          return allowsUser('*', action, name)
        case 'anonymous':
          return isOpenToAll(action, isOpen)
        case 'user':
          return isOpenToAll(action, isOpen) || allowsUser(identity.name, action, name)
      }
    },

    reload: async (text) => {
      await logins?.reload(text)
    },
  }
}
