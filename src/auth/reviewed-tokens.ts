import type { Rejection } from './access.ts'
import { parseServiceAccount, type ServiceAccount } from './service-account.ts'
import { unavailable } from './signed-tokens.ts'
import { rejected } from './token-claims.ts'
import type { TokenVerifier } from './token-verifier.ts'

/** What the API server says about a token (authentication.k8s.io/v1, TokenReviewStatus). */
type TokenReview = {
  readonly authenticated: boolean
  readonly username: string
  /** The requested audiences that the token has; empty if the API server did not check them. */
  readonly audiences: readonly string[]
}

type Options = {
  /** Rejects if the API server does not answer, or denies the request. */
  readonly review: (token: string, audiences: readonly string[]) => Promise<TokenReview>
  readonly audiences: readonly string[]
  readonly log: { readonly warn: (fields: object, message: string) => void }
  readonly close: () => Promise<void>
}

/** As kubelets cache it (`authentication.webhook.cacheTTL`). */
const maxAge = 120_000

/**
 * Asks the API server about each token, so that tokens of deleted pods and service accounts become invalid
 * within `maxAge`.
 */
export function createReviewedTokens({ review, audiences, log, close }: Options): TokenVerifier {
  let failure: string | undefined

  const ask = async (token: string): Promise<TokenReview> => {
    try {
      const answer = await review(token, audiences)
      failure = undefined
      return answer
    } catch (err) {
      if (failure === undefined) log.warn({ err }, 'cannot review service account tokens')
      failure = err instanceof Error ? err.message : String(err)
      throw unavailable()
    }
  }

  return {
    audiences,
    maxAge,
    version: () => 0,
    verify: async (token): Promise<ServiceAccount | Rejection> => {
      const answer = await ask(token)
      if (!answer.authenticated) return rejected('is not valid for the API server')
      if (!answer.audiences.some((one) => audiences.includes(one)))
        return rejected('is for another audience')
      return parseServiceAccount(answer.username) ?? rejected('is not of a service account')
    },
    problem: () => failure,
    close,
  }
}
