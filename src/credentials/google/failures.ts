import { type AdviceRow, advise } from '../advise.ts'
import { CredentialError } from '../credential-error.ts'
import type { Claims } from '../jwt.ts'
import { noAccessToken } from './access-token.ts'
import { accountIn, type Configuration } from './configuration.ts'
import {
  describeFailure,
  type FailedRequest,
  readFailedRequest,
  withoutSecrets,
} from './failed-request.ts'
import { actorOf } from './identity.ts'
import { adviseOnImpersonation } from './impersonation-advice.ts'
import { adviseOnNetwork } from './network-advice.ts'
import { adviseOnSubjectToken } from './sts-advice.ts'
import type { Origin } from './subject-token.ts'

/** What is known when an exchange fails. */
export type Context = {
  readonly configuration: Configuration
  /** Of the subject token, if there is one and it is a JWT. */
  readonly claims: Claims | undefined
  readonly origin: Origin
  readonly secrets: readonly string[]
}

/** The same failure, with what was attempted and what to change. */
export function explainFailure(error: unknown, context: Context): CredentialError {
  if (error instanceof CredentialError) return error
  const request = readFailedRequest(error, context.secrets)
  if (request === undefined) return unexpected(error, context)
  const { attempted, advice } = explainRequest(request, context)
  return new CredentialError(describeFailure(attempted, request), {
    advice: adviseOnNetwork(request) ?? advice,
    cause: causeOf(request, error),
  })
}

/** The library attaches the request, tokens included, to its error: only the name is kept. */
function causeOf({ code }: FailedRequest, error: unknown): Error {
  return Object.assign(new Error(error instanceof Error ? error.name : 'Error'), { code })
}

/** An error of the library before or after its requests. */
function unexpected(error: unknown, { secrets }: Context): CredentialError {
  // The library's message for an HTML page would contain a part of the page.
  if (error instanceof TypeError) return noAccessToken()
  const message = error instanceof Error ? error.message : String(error)
  return new CredentialError(withoutSecrets(message, secrets), {
    advice: 'check credential_source in the credential configuration',
  })
}

type Explanation = { readonly attempted: string; readonly advice: string | undefined }

/** The URL of the failed request tells which step of the exchange it was. */
function explainRequest(request: FailedRequest, context: Context): Explanation {
  const { configuration, claims } = context
  const account = accountIn(request.url)
  if (account !== undefined) {
    const actor = actorOf(configuration, claims)
    const advice = adviseOnImpersonation(request, { configuration, account, actor })
    return { attempted: `impersonate ${account}`, advice }
  }
  const base =
    configuration.type === 'impersonated_service_account'
      ? configuration.source_credentials
      : configuration
  switch (base.type) {
    case 'external_account':
      return isSts(request, base.token_url)
        ? {
            attempted: 'exchange the subject token',
            advice: adviseOnSubjectToken(request, { ...context, audience: base.audience }),
          }
        : {
            attempted: 'get a subject token',
            advice: `check credential_source in the credential configuration: ${request.url.replace(/\?.*/, '')} must return subject tokens`,
          }
    case 'service_account':
      return {
        attempted: `get an access token with the key of ${base.client_email}`,
        advice: advise(keyRows, { ...request, email: base.client_email }),
      }
    case 'authorized_user':
      return {
        attempted: "refresh the user's login",
        advice:
          'log in again: gcloud auth application-default login; on a server, use workload identity federation or a service account instead',
      }
    case 'external_account_authorized_user':
      return {
        attempted: "refresh the user's login",
        advice:
          'log in again: gcloud auth application-default login --login-config=FILE; on a server, use workload identity federation instead',
      }
  }
}

function isSts({ url, host }: FailedRequest, tokenUrl: string | undefined): boolean {
  return tokenUrl === undefined ? host.startsWith('sts.') : URL.parse(tokenUrl)?.href === url
}

const keyRows: readonly AdviceRow<FailedRequest & { readonly email: string }>[] = [
  {
    when: ({ raw }) => /account not found|deleted/i.test(raw),
    say: ({ email }) =>
      `${email} does not exist any more: use the key of another account, or workload identity federation`,
  },
  {
    when: ({ raw }) => /signature/i.test(raw),
    say: ({ email }) =>
      `the key was deleted or disabled: ${listKeys(email)}; create a new key, or use workload identity federation`,
  },
  {
    when: ({ raw }) => /timeframe|short-lived|iat|exp\b/i.test(raw),
    say: 'correct the clock of this machine',
  },
  {
    when: ({ code, raw }) => /disabled/i.test(`${code} ${raw}`),
    say: ({ email }) =>
      `${email} is disabled. Enable it: gcloud iam service-accounts enable ${email}`,
  },
  { when: () => true, say: ({ email }) => `check the keys of the account: ${listKeys(email)}` },
]

function listKeys(email: string): string {
  return `gcloud iam service-accounts keys list --iam-account=${email}`
}
