import { type AdviceRow, advise } from '../advise.ts'
import type { Configuration } from './configuration.ts'
import type { FailedRequest } from './failed-request.ts'
import { memberOf, quoteForShell } from './iam-member.ts'

type Impersonation = {
  readonly configuration: Configuration
  readonly account: string
  /** The identity that impersonates the account, if it is known. */
  readonly actor: string | undefined
}

type Failure = FailedRequest & Impersonation

const rows: readonly AdviceRow<Failure>[] = [
  {
    when: ({ reason, raw }) =>
      reason === 'SERVICE_DISABLED' || /has not been used in project/.test(raw),
    say: ({ account }) =>
      `enable the API: gcloud services enable iamcredentials.googleapis.com${projectOption(account)}`,
  },
  {
    when: ({ raw }) => /disabled/i.test(raw),
    say: ({ account }) =>
      `${account} is disabled. Enable it: gcloud iam service-accounts enable ${account}${projectOption(account)}`,
  },
  {
    when: ({ status }) => status === 404,
    say: ({ account }) =>
      `the service account ${account} does not exist: create it, or correct its name in the credential configuration or the annotation`,
  },
  {
    when: ({ status, raw }) => status === 400 && /lifetime/i.test(raw),
    say: 'set service_account_impersonation.token_lifetime_seconds to 3600 or less, or allow longer lifetimes with the constraint iam.allowServiceAccountCredentialLifetimeExtension',
  },
  {
    when: ({ reason }) => reason === 'ACCESS_TOKEN_SCOPE_INSUFFICIENT',
    say: 'log in again with the scope: gcloud auth application-default login --scopes=https://www.googleapis.com/auth/cloud-platform',
  },
  { when: ({ status }) => status === 403, say: grantRole },
]

/** What to change when the caller may not impersonate `account`. */
export function adviseOnImpersonation(
  request: FailedRequest,
  impersonation: Impersonation,
): string | undefined {
  return advise(rows, { ...request, ...impersonation })
}

function grantRole({ configuration, account, actor }: Failure): string {
  const role =
    configuration.type === 'external_account'
      ? 'roles/iam.workloadIdentityUser'
      : 'roles/iam.serviceAccountTokenCreator'
  const member = actor === undefined ? undefined : memberOf(actor)
  const binding = `gcloud iam service-accounts add-iam-policy-binding ${account}${projectOption(account)} --role=${role} --member=${member === undefined ? 'MEMBER' : quoteForShell(member)}`
  return `grant ${role} on ${account} to ${member ?? 'the identity that impersonates it'}: ${binding}`
}

/** User-managed service accounts contain their project in their name. */
function projectOption(account: string): string {
  const [, name, domain] =
    /@([a-z0-9-]+)(?:\.([a-z0-9.-]+))?\.iam\.gserviceaccount\.com$/.exec(account) ?? []
  if (name === undefined) return ''
  return ` --project=${domain === undefined ? name : `${domain}:${name}`}`
}
