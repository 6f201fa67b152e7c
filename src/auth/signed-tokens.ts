import { errors, jwtVerify } from 'jose'
import { RegistryError } from '../oci/errors.ts'
import type { Rejection } from './access.ts'
import type { KeySet } from './key-set.ts'
import type { ServiceAccount } from './service-account.ts'
import { clockTolerance, quote, rejected, type TokenClaims } from './token-claims.ts'
import type { TokenVerifier } from './token-verifier.ts'

/**
 * Those that an API server can sign with (pkg/serviceaccount/jwt.go, and KEP-740 for external signers). The
 * danger: with HS256, a public key would be the secret.
 */
const algorithms = ['RS256', 'ES256', 'ES384', 'ES512']

type Options = {
  readonly keys: KeySet
  readonly audiences: readonly string[]
  /** The issuer of tokens; undefined: the one that the keys come with. */
  readonly issuer: string | undefined
  readonly now?: () => number
}

/**
 * Verifies tokens by the issuer's public keys, without a request. Does not notice that a pod or a service
 * account has been deleted: its tokens are valid until they expire.
 */
export function createSignedTokens(options: Options): TokenVerifier {
  const { keys, audiences, now = () => Date.now() } = options

  /** Undefined: no key of the issuer has signed it, as far as is known. */
  const check = async (token: string): Promise<'valid' | Rejection | undefined> => {
    const current = keys.current()
    if (current === undefined) return undefined
    const issuer = options.issuer ?? current.issuer
    // The API server's own audience is the issuer, and is in the token of every pod.
    const audience = audiences.filter((one) => one !== issuer)
    try {
      await jwtVerify(token, current.find, {
        algorithms,
        issuer,
        audience,
        clockTolerance,
        requiredClaims: ['exp', 'sub'],
        currentDate: new Date(now()),
      })
      return 'valid'
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return undefined
      if (error instanceof errors.JOSEError) return rejected(reasonOf(error, issuer))
      throw error
    }
  }

  const afterRefresh = async (token: string): Promise<'valid' | Rejection | undefined> => {
    await keys.refresh()
    return check(token)
  }

  return {
    audiences,
    maxAge: Number.POSITIVE_INFINITY,
    version: keys.version,
    verify: async (token, { account }: TokenClaims): Promise<ServiceAccount | Rejection> => {
      const result = (await check(token)) ?? (await afterRefresh(token))
      if (result === 'valid') return account
      if (result !== undefined) return result
      if (keys.problem() !== undefined) throw unavailable()
      return rejected('is not signed with a key of the issuer')
    },
    problem: keys.problem,
    close: keys.close,
  }
}

/** Retried by clients; the cause is in the log and in `/readyz`. */
export function unavailable(): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'cannot verify service account tokens now: the API server does not answer',
    advice: 'retry',
    retryAfter: 5,
  })
}

/** jose's own messages contain no part of a token. */
function reasonOf(error: errors.JOSEError, issuer: string): string {
  if (error instanceof errors.JWTExpired) return 'is expired'
  if (error instanceof errors.JWTClaimValidationFailed)
    return error.claim === 'iss'
      ? `is from another issuer than ${quote(issuer)}`
      : `has an invalid claim ${quote(error.claim)}`
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'has an invalid signature'
  if (error instanceof errors.JOSEAlgNotAllowed)
    return `is not signed by one of the algorithms ${algorithms.join(', ')}`
  return 'is malformed'
}
