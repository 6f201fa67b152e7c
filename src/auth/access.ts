import type { RepositoryName } from '../oci/reference.ts'

export type Action = 'pull' | 'push' | 'delete'

/** Who sends a request. `auth-off`: there are no users, so nobody can log in. */
export type Identity =
  | { readonly kind: 'user'; readonly name: string }
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'auth-off' }

/** Allows users (`*`: all users) the actions on repositories that match a glob. */
export type AccessRule = {
  readonly users: readonly string[]
  readonly repositories: readonly string[]
  /** Globs of repositories that the rule excludes although `repositories` matches them. */
  readonly except?: readonly string[]
  readonly actions: readonly Action[]
}

/** Authenticates requests and decides their access. Does not know which repositories exist. */
export interface Auth {
  /** Who has to log in: all users (`required`), users who want more than to pull (`optional`), nobody. */
  readonly mode: 'required' | 'optional' | 'off'
  /**
   * Synchronous for a header that was verified before. Undefined: not authenticated.
   * @throws RegistryError TOOMANYREQUESTS if too many passwords wait for verification.
   */
  authenticate(
    authorization: string | undefined,
  ): Identity | undefined | Promise<Identity | undefined>
  /** `isOpen`: anonymous users may pull from this repository if anonymous access is enabled at all. */
  allows(identity: Identity, action: Action, name: RepositoryName, isOpen: boolean): boolean
  /**
   * Replaces the content of the htpasswd file. Logins of removed users become invalid.
   * @throws Error naming the invalid line; then nothing changes.
   */
  reload(htpasswd: string): Promise<void>
}
