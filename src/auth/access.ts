import type { RepositoryName } from '../oci/reference.ts'
import type { ServiceAccount } from './service-account.ts'

export type Action = 'pull' | 'push' | 'delete'

/** Who sends a request. `auth-off`: there are no users, so nobody can log in. */
export type Identity =
  | { readonly kind: 'user'; readonly name: string }
  | ServiceAccount
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'auth-off' }

/** A service account token that is not valid here; the reason is for the client that sent it. */
export type Rejection = { readonly kind: 'rejected'; readonly reason: string }

/** Undefined: not authenticated. */
export type Authentication = Identity | Rejection | undefined

/** Allows users and groups the actions on repositories that match a glob. */
export type AccessRule = {
  /** Globs of user names, where a star does not match a colon: `*` is every user of the htpasswd file. */
  readonly users: readonly string[]
  /** Globs of groups, which only service accounts have. */
  readonly groups?: readonly string[]
  readonly repositories: readonly string[]
  /** Globs of repositories that the rule excludes although `repositories` matches them. */
  readonly except?: readonly string[]
  readonly actions: readonly Action[]
}

/** Authenticates requests and decides their access. Does not know which repositories exist. */
export interface Auth {
  /** Who has to log in: all users (`required`), users who want more than to pull (`optional`), nobody. */
  readonly mode: 'required' | 'optional' | 'off'
  /** As {@link Auth.authenticate}, for a header that was verified before, or a missing one; else undefined. */
  known(authorization: string | undefined): Identity | undefined
  /**
   * Synchronous for a header that was verified before.
   * @throws RegistryError TOOMANYREQUESTS if too many passwords or tokens wait for verification, and
   * UNAVAILABLE if it cannot be decided now whether a token is valid.
   */
  authenticate(authorization: string | undefined): Authentication | Promise<Authentication>
  /** `isOpen`: anonymous users may pull from this repository if anonymous access is enabled at all. */
  allows(identity: Identity, action: Action, name: RepositoryName, isOpen: boolean): boolean
  /**
   * On how many repositories the identity may do it. `all`: also on those that do not exist; `some` may be
   * none of those that do.
   */
  extentOf(identity: Identity, action: Action): 'all' | 'some' | 'none'
  /**
   * Replaces the content of the htpasswd file. Logins of removed users become invalid.
   * @throws Error naming the invalid line; then nothing changes.
   */
  reload(htpasswd: string): Promise<void>
}
