import { hash } from '@node-rs/bcrypt'
import type { RepositoryName } from '../oci/reference.ts'
import { hasControls, parseBasic } from './basic.ts'
import { createLogins, maxPasswordBytes } from './logins.ts'
import { type AccessRule, createPolicy } from './policy.ts'

export type Action = 'pull' | 'push' | 'delete'

/**
 * Who asks. `withoutAuth`: there is no auth. `anonymous`: there is, and whoever asks did not say who
 * they are.
 */
export type Identity =
  | { readonly kind: 'user'; readonly name: string }
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'auth-off' }

/** Who may come in, and do what where. Knows of no repository's content. */
export interface Auth {
  /**
   * Whether users have to say who they are, all of them (`required`), those who want more than to
   * pull (`optional`), or none.
   */
  readonly mode: 'required' | 'optional' | 'off'
  /**
   * At once where the same header was verified before. Undefined: nobody who may come in.
   * @throws RegistryError TOOMANYREQUESTS when too many passwords are waiting to be verified.
   */
  authenticate(
    authorization: string | undefined,
  ): Identity | undefined | Promise<Identity | undefined>
  /** `open`: anonymous users may pull from the repository, where they are let in at all. */
  allows(identity: Identity, action: Action, name: RepositoryName, open: boolean): boolean
  /**
   * Replaces the htpasswd file's content; whoever is not in it any more is out.
   * @throws Error naming the line: then nothing has changed.
   */
  reload(htpasswd: string): Promise<void>
}

/** @throws Error for a password that nobody could log in with, or that bcrypt would cut off. */
export async function hashPassword(password: string, cost: number): Promise<string> {
  if (password === '') throw new Error('the password is empty')
  if (hasControls(password))
    throw new Error('the password has control characters, such as newlines')
  if (Buffer.byteLength(password) > maxPasswordBytes)
    throw new Error(`the password is longer than the ${maxPasswordBytes} bytes that bcrypt reads`)
  return hash(password, { cost, version: '2y' })
}

type AuthOptions = {
  /** Content of an htpasswd file; without it there is no auth. */
  readonly htpasswd?: string | undefined
  readonly anonymous: 'none' | 'pull'
  readonly access: readonly AccessRule[]
}

export async function createAuth({ htpasswd, anonymous, access }: AuthOptions): Promise<Auth> {
  const logins = htpasswd === undefined ? undefined : await createLogins(htpasswd)
  const grants = createPolicy(access)
  const anonymousIdentity = { kind: 'anonymous' } as const
  const withoutAuth = { kind: 'auth-off' } as const
  /** What anonymous users may do; logging in never takes it away. */
  const isOpenToAll = (action: Action, open: boolean) =>
    anonymous === 'pull' && action === 'pull' && open
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
      // podman, told of Basic and given no credentials, sends empty ones (containers/image,
      // setupRequestAuth).
      if (basic.username === '' && basic.password === '') return withoutLogin
      return logins
        .verify(authorization, basic)
        .then((isCorrect) => (isCorrect ? { kind: 'user', name: basic.username } : undefined))
    },

    allows: (identity, action, name, open) => {
      switch (identity.kind) {
        case 'auth-off':
          return grants('*', action, name)
        case 'anonymous':
          return isOpenToAll(action, open)
        case 'user':
          return isOpenToAll(action, open) || grants(identity.name, action, name)
      }
    },

    reload: async (text) => {
      await logins?.reload(text)
    },
  }
}
