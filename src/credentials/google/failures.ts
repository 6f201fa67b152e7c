import { CredentialError } from '../credential-error.ts'
import type { Claims } from '../jwt.ts'
import { noToken } from './access-token.ts'
import { accountIn, type Configuration } from './configuration.ts'
import {
  adviceOnTheWay,
  type Refusal,
  readRefusal,
  tell,
  withoutSecrets,
} from './failed-request.ts'
import { actorOf } from './identity.ts'
import { adviceOnImpersonation } from './impersonation-advice.ts'
import { adviceOnSubjectToken } from './sts-advice.ts'
import type { Origin } from './subject-token.ts'

/** What is known when an exchange fails. */
export type Situation = {
  readonly configuration: Configuration
  /** What the subject token says of itself, where it was had and is a JWT. */
  readonly claims: Claims | undefined
  readonly origin: Origin
  readonly secrets: readonly string[]
}

/** The same failure, with what was attempted and what to change. */
export function explain(error: unknown, situation: Situation): CredentialError {
  if (error instanceof CredentialError) return error
  const refusal = readRefusal(error, situation.secrets)
  if (refusal === undefined) return unforeseen(error, situation)
  const { attempted, advice } = judge(refusal, situation)
  return new CredentialError(tell(attempted, refusal), {
    advice: adviceOnTheWay(refusal) ?? advice,
    cause: causeOf(refusal, error),
  })
}

/** The library's error hangs the request, tokens included, on itself: only its name is kept. */
function causeOf({ code }: Refusal, error: unknown): Error {
  return Object.assign(new Error(error instanceof Error ? error.name : 'Error'), { code })
}

/** What the library complains of before, or after, it asks anybody. */
function unforeseen(error: unknown, { secrets }: Situation): CredentialError {
  // What it makes of an answer that is a page; the message shows that.
  if (error instanceof TypeError) return noToken()
  const message = error instanceof Error ? error.message : String(error)
  const advice =
    'look at credential_source in the credential configuration, and at what it speaks of'
  return new CredentialError(withoutSecrets(message, secrets), { advice })
}

type Judgement = { readonly attempted: string; readonly advice: string | undefined }

/** Which of the exchanges it was is told by where it went. */
function judge(refusal: Refusal, situation: Situation): Judgement {
  const { configuration } = situation
  const account = accountIn(refusal.url)
  if (account !== undefined)
    return {
      attempted: `act for ${account}`,
      advice: adviceOnImpersonation(refusal, {
        configuration,
        account,
        actor: actorOf(configuration, situation.claims),
      }),
    }
  const base =
    configuration.type === 'impersonated_service_account'
      ? configuration.source_credentials
      : configuration
  switch (base.type) {
    case 'external_account':
      if (isSts(refusal, base.token_url))
        return {
          attempted: 'exchange the subject token',
          advice: adviceOnSubjectToken(refusal, { ...situation, audience: base.audience }),
        }
      return {
        attempted: 'give the subject token',
        advice: `look at credential_source in the credential configuration: is ${refusal.url.replace(/\?.*/, '')} what gives subject tokens here?`,
      }
    case 'service_account':
      return {
        attempted: `give a token for the key of ${base.client_email}`,
        advice: adviceOnKey(refusal, base.client_email),
      }
    case 'authorized_user':
      return {
        attempted: "refresh the user's login",
        advice: `log in anew: gcloud auth application-default login; better for a server: workload identity federation or a service account`,
      }
    case 'external_account_authorized_user':
      return {
        attempted: "refresh the user's login",
        advice: `log in anew: gcloud auth application-default login --login-config=FILE; better for a server: workload identity federation`,
      }
  }
}

function isSts({ url, host }: Refusal, tokenUrl: string | undefined): boolean {
  return tokenUrl === undefined ? host.startsWith('sts.') : URL.parse(tokenUrl)?.href === url
}

function adviceOnKey({ code, raw }: Refusal, email: string): string | undefined {
  const keys = `gcloud iam service-accounts keys list --iam-account=${email}`
  if (/account not found|deleted/i.test(raw))
    return `${email} does not exist any more: use another account's key, or better workload identity federation`
  if (/signature/i.test(raw))
    return `the key was deleted or disabled, look with: ${keys}; make a new one, or better use workload identity federation`
  if (/timeframe|short-lived|iat|exp\b/i.test(raw)) return 'set the clock of this machine right'
  if (/disabled/i.test(`${code} ${raw}`))
    return `${email} is disabled; enable it with: gcloud iam service-accounts enable ${email}`
  return `look at the account's keys with: ${keys}`
}
