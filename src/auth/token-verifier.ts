import type { Rejection } from './access.ts'
import type { ServiceAccount } from './service-account.ts'
import type { TokenClaims } from './token-claims.ts'

/** Decides whether service account tokens are genuine. Caches nothing. */
export interface TokenVerifier {
  /** Audiences of which a token must have one. */
  readonly audiences: readonly string[]
  /** Milliseconds until a token must be verified again. */
  readonly maxAge: number
  /** Changes when tokens that were verified before may be invalid now. */
  version(): number
  /**
   * `claims` are those that the token claims.
   * @throws RegistryError UNAVAILABLE if it cannot be decided now.
   */
  verify(token: string, claims: TokenClaims): Promise<ServiceAccount | Rejection>
  /** Why tokens cannot be verified with current knowledge; undefined: they can. */
  problem(): string | undefined
  close(): Promise<void>
}
