import { type AdviceRow, advise } from '../advise.ts'
import { CredentialError } from '../credential-error.ts'
import { type FailedRequest, readFailedRequest } from './failed-request.ts'
import { describeMetadataServer } from './metadata-server.ts'

type Context = {
  readonly host: string | undefined
  /** The default service account, if the metadata server says it. */
  readonly email: string | undefined
}

type Failure = FailedRequest & { readonly account: string }

const rows: readonly AdviceRow<Failure>[] = [
  {
    when: ({ status }) => status === undefined,
    say: ({ host }) =>
      `allow connections from Berth to ${host} (a network policy may forbid them), or configure a credential file (upstreams[].credentials.file)`,
  },
  {
    when: ({ status, raw }) => status === 404 && /not found|gaia/i.test(raw),
    say: ({ account }) =>
      `the annotation iam.gke.io/gcp-service-account of the pod's service account names an account that does not exist: correct the annotation, or create ${account}`,
  },
  {
    when: ({ status }) => status === 404,
    say: 'assign a service account to the machine (gcloud compute instances set-service-account), or configure a credential file (upstreams[].credentials.file)',
  },
  {
    when: ({ status }) => status === 403,
    say: ({ account }) =>
      `allow the pod's service account to impersonate ${account}: gcloud iam service-accounts add-iam-policy-binding ${account} --role=roles/iam.workloadIdentityUser --member='serviceAccount:PROJECT.svc.id.goog[NAMESPACE/SERVICE_ACCOUNT]'; on a machine without GKE, check its access scopes`,
  },
  {
    when: ({ status = 0 }) => status === 429 || status >= 500,
    say: 'the metadata server has an internal error, which is common while a pod or node starts; Berth retries, no change is needed',
  },
  {
    when: () => true,
    say: 'configure a credential file (upstreams[].credentials.file) instead of the metadata server',
  },
]

/** The same failure, with what was attempted and what to change. */
export function explainMetadataFailure(error: unknown, { host, email }: Context): CredentialError {
  if (error instanceof CredentialError) return error
  const request = readFailedRequest(error, [])
  if (request === undefined) return new CredentialError(String(error))
  const account = email?.includes('@') ? email : 'SERVICE_ACCOUNT_EMAIL'
  return new CredentialError(
    `cannot get an access token: ${describeMetadataServer(host)} ${resultOf(request)}`,
    { advice: advise(rows, { ...request, account }) },
  )
}

function resultOf({ status, code, message }: FailedRequest): string {
  const details = [code, message].filter(Boolean).join(': ')
  if (code === 'AbortError') return 'did not answer in time'
  if (status === undefined) return `cannot be reached: ${details}`
  return `answered ${status}${details && ` ${details}`}`
}
