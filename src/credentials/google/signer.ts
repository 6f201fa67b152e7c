import { z } from 'zod'
import type { Outbound } from '../../outbound/outbound.ts'
import type { Credentials } from '../credential.ts'
import { CredentialError } from '../credential-error.ts'
import { impersonatedBy, readConfiguration } from './configuration.ts'
import { describeFailure, readFailedRequest } from './failed-request.ts'
import { adviseOnNetwork } from './network-advice.ts'
import { signWithKey } from './service-account-key.ts'
import { defaultDeadline, withTransport } from './transport.ts'

/** A service account that signs texts (RSA and SHA-256), as signed URLs need it. */
export type GoogleSigner = {
  readonly account: string
  /** @throws CredentialError */
  sign(text: string): Promise<Buffer>
}

type SignerOptions = {
  /** As of the credentials. */
  readonly file: string | undefined
  readonly credentials: Credentials
  readonly outbound: Outbound
  readonly certificateAuthorities?: string | undefined
}

const answerSchema = z.looseObject({ signedBlob: z.base64() })
const impersonation = /:generateAccessToken$/

/** By its key, if there is one; otherwise IAM signs for the account. @throws CredentialError */
export async function findGoogleSigner(options: SignerOptions): Promise<GoogleSigner> {
  const { file, credentials } = options
  const configuration = file === undefined ? undefined : await readConfiguration(file)
  if (configuration?.type === 'service_account') {
    const { client_email: account } = configuration
    return { account, sign: async (text) => signWithKey(configuration, text) }
  }
  const credential = await credentials.current()
  const account = (configuration && impersonatedBy(configuration)) ?? credentials.identity()
  if (credential.kind !== 'access-token' || !account.endsWith('gserviceaccount.com'))
    throw new CredentialError(`${account} cannot sign URLs: it is no service account`, {
      advice: 'impersonate a service account, or turn redirects off',
    })
  const impersonated =
    configuration?.type === 'external_account' ||
    configuration?.type === 'impersonated_service_account'
      ? configuration.service_account_impersonation_url
      : undefined
  const url =
    impersonated?.replace(impersonation, ':signBlob') ??
    `https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/${account}:signBlob`
  return { account, sign: (text) => signBlob(text, { ...options, url, account, ...credential }) }
}

async function signBlob(
  text: string,
  {
    outbound,
    certificateAuthorities,
    url,
    account,
    token,
  }: SignerOptions & { readonly url: string; readonly account: string; readonly token: string },
): Promise<Buffer> {
  try {
    return await withTransport(
      { deadline: defaultDeadline, outbound, certificateAuthorities },
      async (transport) => {
        const { data } = await transport.request<unknown>({
          url,
          method: 'POST',
          headers: { authorization: `Bearer ${token}` },
          data: { payload: Buffer.from(text).toString('base64') },
          responseType: 'json',
        })
        return Buffer.from(answerSchema.parse(data).signedBlob, 'base64')
      },
    )
  } catch (error) {
    const request = readFailedRequest(error, [token])
    if (request === undefined)
      throw new CredentialError(`IAM answered without a signature of ${account}`)
    throw new CredentialError(describeFailure(`sign as ${account}`, request), {
      advice:
        adviseOnNetwork(request) ??
        `grant roles/iam.serviceAccountTokenCreator on ${account} to itself: gcloud iam service-accounts add-iam-policy-binding ${account} --role=roles/iam.serviceAccountTokenCreator --member=serviceAccount:${account}; and enable iamcredentials.googleapis.com`,
    })
  }
}
