import { CredentialError } from '../credential-error.ts'
import { type Refusal, readRefusal } from './failed-request.ts'
import { describeMetadataServer } from './metadata-server.ts'

type Situation = {
  readonly host: string | undefined
  /** The account that the metadata server speaks of; undefined when it does not say. */
  readonly email: string | undefined
}

/** The same failure, with what was attempted and what to change. */
export function explainMetadata(error: unknown, { host, email }: Situation): CredentialError {
  const refusal = readRefusal(error, [])
  if (refusal === undefined || error instanceof CredentialError)
    return error instanceof CredentialError ? error : new CredentialError(String(error))
  const server = describeMetadataServer(host)
  const { status, code, words } = refusal
  const said = [code, words].filter(Boolean).join(': ')
  if (status === undefined) {
    const what = code === 'AbortError' ? 'gave no answer in time' : `cannot be reached: ${said}`
    return new CredentialError(`${server} ${what}`, {
      advice: `let Berth out to ${refusal.host} (a network policy may forbid it), or configure a credential file`,
    })
  }
  return new CredentialError(`${server} answered ${status}${said && ` ${said}`}`, {
    advice: adviceOn(refusal, email),
  })
}

function adviceOn({ status = 0, raw }: Refusal, email: string | undefined): string {
  const account = email?.includes('@') ? email : 'SERVICE_ACCOUNT_EMAIL'
  if (status === 404 && /not found|gaia/i.test(raw))
    return `the annotation iam.gke.io/gcp-service-account of the pod's service account names an account that does not exist: correct it, or create ${account}`
  if (status === 404)
    return 'give the machine a service account (gcloud compute instances set-service-account), or configure a credential file'
  if (status === 403)
    return `let the pod's service account act for ${account}: gcloud iam service-accounts add-iam-policy-binding ${account} --role=roles/iam.workloadIdentityUser --member='serviceAccount:PROJECT.svc.id.goog[NAMESPACE/SERVICE_ACCOUNT]'; on a machine without GKE, look at its access scopes`
  if (status === 429 || status >= 500)
    return 'that is a failure of the metadata server, usual while a pod or node starts; it is tried again by itself'
  return 'configure a credential file instead'
}
