/** What we show to an upstream. */
export type Credential =
  | { readonly kind: 'anonymous' }
  /** Sent as Basic, to the registry or to its token endpoint, whichever its challenge asks for. */
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /**
   * An OAuth 2 access token: sent as Bearer, or as the password of `username` at a token endpoint.
   */
  | { readonly kind: 'access-token'; readonly username: string; readonly token: string }
  /**
   * An OAuth 2 refresh token, what docker calls an identity token: good at a token endpoint alone
   * (distribution, "Token Authentication: OAuth2"). `username` is what registries take it as a
   * password of; empty where none does.
   */
  | { readonly kind: 'identity-token'; readonly username: string; readonly token: string }

/** A credential as its source gave it, times in milliseconds from now. */
export type Fetched = {
  readonly credential: Credential
  /** When it really expires; absent: never, or nobody knows. */
  readonly lifetime?: number | undefined
  /** When to ask the source again; absent: well before it expires. It stays good beyond that. */
  readonly refreshAfter?: number | undefined
}

/**
 * Where credentials come from: one exchange with a file, a helper or a cloud, nothing kept. `fetch`
 * rejects with what went wrong; it never answers with anonymity because something failed.
 */
export interface CredentialSource {
  /**
   * Who we are to the upstream, for messages: an account's name, never a secret. May get more exact
   * by a fetch.
   */
  readonly identity: () => string
  /** Where the credential comes from, for people: which file, server or program. Never a secret. */
  readonly source: () => string
  /**
   * @throws CredentialError, or another error, with what was attempted and what came of it.
   */
  readonly fetch: () => Promise<Fetched>
  /**
   * What to change when the upstream refuses to let us read `repository` (as the upstream names it;
   * empty: the registry as a whole). Undefined where nobody can know.
   */
  readonly advice?: (repository: string) => string | undefined
}

/** A credential that is always fresh. */
export interface Credentials {
  identity(): string
  /** Where it comes from, for people. */
  source(): string
  /** What to change when the upstream refuses us `repository`; see CredentialSource. */
  advice(repository: string): string | undefined
  /** Milliseconds until the one that is held expires; undefined: none is held, or it never does. */
  validFor(): number | undefined
  /**
   * @throws RegistryError UNAVAILABLE when there is none: it never got one, or the last one has
   * expired; DENIED when that is because the upstream said that we may not have one.
   */
  current(): Promise<Credential>
  /** After the upstream refused `refused`: another one, if the source has another. */
  renew(refused: Credential): Promise<Credential>
  /** Why the last exchange failed; undefined when it did not. */
  problem(): string | undefined
  close(): void
}
