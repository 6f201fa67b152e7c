/** The credential for an upstream. */
export type Credential =
  | { readonly kind: 'anonymous' }
  /** Sent as Basic to the registry or to its token endpoint, depending on the challenge. */
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /**
   * An OAuth 2 access token: sent as Bearer, or as the password of `username` at a token endpoint.
   */
  | { readonly kind: 'access-token'; readonly username: string; readonly token: string }
  /**
   * An OAuth 2 refresh token, which docker names identity token: valid at a token endpoint only
   * (distribution, "Token Authentication: OAuth2"). With `username` a registry accepts it as a
   * password; empty where none does.
   */
  | { readonly kind: 'identity-token'; readonly username: string; readonly token: string }
  /**
   * A token that the registry itself accepts as Bearer, such as one of a Kubernetes service account at
   * OpenShift's registry. Sent to the registry's own origin only, never to a token endpoint.
   */
  | { readonly kind: 'registry-token'; readonly token: string }

/** What a request does with a repository. Pushing includes pulling, and deleting includes both. */
export type Access = 'pull' | 'push' | 'delete'

/** A credential from its source; times are in milliseconds from now. */
export type Fetched = {
  readonly credential: Credential
  /** Until it expires; absent: never, or unknown. */
  readonly lifetime?: number | undefined
  /** Until the next fetch; absent: well before it expires. The credential stays valid after it. */
  readonly refreshAfter?: number | undefined
}

/**
 * A source of credentials: a file, a helper or a cloud, without a cache. `fetch` rejects when the
 * exchange fails; it never falls back to anonymous access.
 */
export interface CredentialSource {
  /**
   * Our identity for the upstream, for messages: the name of an account, never a secret. A fetch may
   * make it more exact.
   */
  readonly identity: () => string
  /** The file, server or program that the credential comes from, for messages. Never a secret. */
  readonly source: () => string
  /**
   * @throws CredentialError, or another error, with what was attempted and what happened.
   */
  readonly fetch: () => Promise<Fetched>
  /**
   * What to change when the upstream denies `access` (default: pull) to `repository` (as the upstream
   * names it; empty: the whole registry). Undefined where that is unknown.
   */
  readonly advice?: (repository: string, access?: Access) => string | undefined
}

/** A credential that is renewed before it expires. */
export interface Credentials {
  identity(): string
  /** See CredentialSource. */
  source(): string
  /** See CredentialSource. */
  advice(repository: string, access?: Access): string | undefined
  /** Milliseconds until the current credential expires; undefined: there is none, or it never expires. */
  validFor(): number | undefined
  /**
   * @throws RegistryError UNAVAILABLE when no exchange has succeeded, or the last credential has
   * expired; DENIED when the upstream denied the exchange.
   */
  current(): Promise<Credential>
  /** After the upstream rejected `rejected`: another credential, if the source has one. */
  renew(rejected: Credential): Promise<Credential>
  /** The error of the last exchange; undefined when it succeeded. */
  problem(): string | undefined
  close(): void
}
