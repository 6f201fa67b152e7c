import type { Configuration } from './configuration.ts'
import type { Refusal } from './failed-request.ts'
import { memberOf, quoted } from './iam-member.ts'

type Impersonation = {
  readonly configuration: Configuration
  readonly account: string
  readonly actor: string | undefined
}

/** What to change when we may not act for `account`. */
export function adviceOnImpersonation(
  { status, detail, raw }: Refusal,
  { configuration, account, actor }: Impersonation,
): string | undefined {
  const project = projectOf(account)
  const inProject = project === undefined ? '' : ` --project=${project}`
  if (detail === 'SERVICE_DISABLED' || /has not been used in project/.test(raw))
    return `enable the API: gcloud services enable iamcredentials.googleapis.com${inProject}`
  if (/disabled/i.test(raw))
    return `${account} is disabled; enable it with: gcloud iam service-accounts enable ${account}${inProject}`
  if (status === 404)
    return `there is no service account ${account}: correct its name where it is configured, or create it`
  if (status === 400 && /lifetime/i.test(raw))
    return 'set service_account_impersonation.token_lifetime_seconds to 3600 or less, or allow more by the constraint iam.allowServiceAccountCredentialLifetimeExtension'
  if (detail === 'ACCESS_TOKEN_SCOPE_INSUFFICIENT')
    return 'log in anew with the scope: gcloud auth application-default login --scopes=https://www.googleapis.com/auth/cloud-platform'
  if (status !== 403) return undefined
  const role =
    configuration.type === 'external_account'
      ? 'roles/iam.workloadIdentityUser'
      : 'roles/iam.serviceAccountTokenCreator'
  const member = actor === undefined ? undefined : memberOf(actor)
  if (member === undefined)
    return `grant ${role} on ${account} to whoever acts for it (gcloud iam service-accounts add-iam-policy-binding)`
  return `grant ${role} on ${account} to ${member}: gcloud iam service-accounts add-iam-policy-binding ${account}${inProject} --role=${role} --member=${quoted(member)}`
}

/** Accounts that people made have their project in their name. */
function projectOf(account: string): string | undefined {
  const [, name, domain] =
    /@([a-z0-9-]+)(?:\.([a-z0-9.-]+))?\.iam\.gserviceaccount\.com$/.exec(account) ?? []
  return name === undefined || domain === undefined ? name : `${domain}:${name}`
}
