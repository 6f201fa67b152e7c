import { createOutbound, type Outbound } from '../../outbound/outbound.ts'
import type { Credential, CredentialSource, Fetched } from '../credential.ts'
import { CredentialError } from '../credential-error.ts'
import type { WorkloadToken } from '../credentials-options.ts'
import { type Claims, readClaims } from '../jwt.ts'
import { accessAdvice } from './access-advice.ts'
import type { Token } from './access-token.ts'
import { readConfiguration, secretsIn } from './configuration.ts'
import { exchange } from './exchange.ts'
import type { Environment } from './executable.ts'
import { explainFailure } from './failures.ts'
import { identityOf, identityOfSubject, subjectTokenOrigin } from './identity.ts'
import { explainMetadataFailure } from './metadata-failures.ts'
import {
  describeMetadataServer,
  hasMetadataServer,
  requestEmail,
  requestToken,
} from './metadata-server.ts'
import { defaultDeadline, withTransport } from './transport.ts'
import { withWorkloadToken } from './workload-token.ts'

export { findGoogleSigner, type GoogleSigner } from './signer.ts'

/** The user name for an access token at Artifact Registry's token endpoint. */
const username = 'oauth2accesstoken'

const scopes = {
  pull: 'https://www.googleapis.com/auth/cloud-platform.read-only',
  push: 'https://www.googleapis.com/auth/cloud-platform',
} as const

type GoogleOptions = {
  readonly file?: string | undefined
  readonly metadataHost?: string | undefined
  readonly executables?: Environment | undefined
  readonly optional: boolean
  readonly access: 'pull' | 'push'
  readonly host: string
  readonly workloadToken?: WorkloadToken | undefined
  readonly outbound?: Outbound | undefined
  readonly certificateAuthorities?: string | undefined
  /** Of an exchange, in milliseconds. */
  readonly deadline?: number
}

/** The identity and the source of the credential, as far as they are known. */
type Known = {
  readonly identity: string
  readonly source: string
  /** The default service account of the metadata server. */
  readonly account?: string | undefined
}
type Update = (changed: Partial<Known>) => void

/**
 * Google's application default credentials: `file`, which gcloud wrote, else the metadata server. Each
 * fetch reads the file and performs the exchange again, so a changed file takes effect, and no cache of
 * the library returns an old token.
 */
export function createGoogleSource(options: GoogleOptions): CredentialSource {
  const { file, metadataHost, optional, access, host, workloadToken } = options
  let known: Known = initialIdentity(file, metadataHost)
  const update: Update = (changed) => {
    known = { ...known, ...changed }
  }
  return {
    identity: () => known.identity,
    source: () => known.source,
    fetch: async () => {
      if (file !== undefined) return fromFile(file, options, update)
      // A pod's token must not give access to the repositories of the machine's account.
      const isForPod = workloadToken !== undefined
      if (!isForPod && (metadataHost !== undefined || (await hasMetadataServer())))
        return fromMetadataServer(options, { account: known.account, update })
      if (!optional)
        throw new CredentialError(
          isForPod
            ? "cannot exchange the pod's token: no credential file is configured"
            : 'no credential file is configured, and this machine has no metadata server',
          { advice: configurationAdvice },
        )
      update({ identity: 'anonymous', source: 'no credential file and no metadata server' })
      return { credential: { kind: 'anonymous' } }
    },
    advice: (repository, denied = access) => {
      const { identity } = known
      if (identity === 'anonymous')
        return `no Google credentials were found: ${configurationAdvice}`
      const advice = accessAdvice({ host, repository, identity, access: denied })
      return file === undefined
        ? `${advice}; on a machine without GKE, its access scopes must also allow it`
        : advice
    },
  }
}

const configurationAdvice =
  'set upstreams[].credentials.file or $GOOGLE_APPLICATION_CREDENTIALS to the file that gcloud iam workload-identity-pools create-cred-config writes, or run Berth on a machine of Google Cloud'

function initialIdentity(file: string | undefined, metadataHost: string | undefined): Known {
  if (file !== undefined)
    return { identity: `the credentials in ${file}`, source: `the credentials in ${file}` }
  return {
    identity: "the metadata server's default service account",
    source: describeMetadataServer(metadataHost),
  }
}

async function fromFile(
  file: string,
  {
    access,
    executables,
    workloadToken,
    outbound = createOutbound(),
    certificateAuthorities,
    deadline = defaultDeadline,
  }: GoogleOptions,
  update: Update,
): Promise<Fetched> {
  const configuration = withWorkloadToken(await readConfiguration(file), workloadToken)
  const origin = subjectTokenOrigin(configuration, workloadToken !== undefined)
  update(identityOf(configuration, { file, origin }))
  const secrets = [...secretsIn(configuration)]
  let claims: Claims | undefined
  const onSubjectToken = (token: string) => {
    secrets.push(token)
    claims = readClaims(token)
    update(identityOfSubject(configuration, claims))
  }
  try {
    const token = await withTransport({ deadline, outbound, certificateAuthorities }, (transport) =>
      exchange(configuration, {
        transport,
        deadline,
        scope: scopes[access],
        executables,
        workloadToken: workloadToken?.token,
        onSubjectToken,
      }),
    )
    return fetchedFrom(token)
  } catch (error) {
    throw explainFailure(error, { configuration, claims, origin, secrets })
  }
}

async function fromMetadataServer(
  {
    metadataHost: host,
    access,
    outbound = createOutbound(),
    deadline = defaultDeadline,
  }: GoogleOptions,
  { account, update }: { readonly account: string | undefined; readonly update: Update },
): Promise<Fetched> {
  return withTransport({ deadline, outbound, direct: true }, async (transport) => {
    const server = { transport, host }
    // Requested after a failure, too: the advice names the account.
    const requestAccount = async () => {
      const email = account ?? (await requestEmail(server))
      if (email !== undefined) update({ identity: email, account: email })
      return email
    }
    try {
      const { token, lifetime } = await requestToken(server, scopes[access])
      await requestAccount()
      return { credential: accessToken(token), lifetime }
    } catch (error) {
      throw explainMetadataFailure(error, { host, email: await requestAccount() })
    }
  })
}

function fetchedFrom({ token, expiry }: Token): Fetched {
  const credential = accessToken(token)
  return expiry === undefined ? { credential } : { credential, lifetime: expiry - Date.now() }
}

function accessToken(token: string): Credential {
  return { kind: 'access-token', username, token }
}
