import { createOutbound, type Outbound } from '../../outbound/outbound.ts'
import type { Credential, CredentialSource, Fetched } from '../credential.ts'
import { CredentialError } from '../credential-error.ts'
import type { WorkloadToken } from '../credentials-options.ts'
import { type Claims, readClaims } from '../jwt.ts'
import type { Token } from './access-token.ts'
import { readConfiguration, secretsIn } from './configuration.ts'
import { exchange } from './exchange.ts'
import type { Environment } from './executable.ts'
import { explain } from './failures.ts'
import { identityOf, subjectsIdentity, subjectTokenOrigin } from './identity.ts'
import { explainMetadata } from './metadata-failures.ts'
import {
  askForEmail,
  askForToken,
  describeMetadataServer,
  hasMetadataServer,
} from './metadata-server.ts'
import { pullAdvice } from './pull-advice.ts'
import { usualDeadline, withTransport } from './transport.ts'
import { withWorkloadToken } from './workload-token.ts'

/** The user name that Artifact Registry's token endpoint wants beside an access token. */
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
  /** After so many milliseconds an exchange has failed. */
  readonly deadline?: number
}

/** Who we are and where that comes from, as far as it is known. */
type Known = {
  readonly identity: string
  readonly source: string
  /** As the metadata server calls it. */
  readonly account?: string | undefined
}
type Learn = (learned: Partial<Known>) => void

/**
 * Google's application default credentials: what gcloud wrote into `file`, else the metadata server.
 * Each fetch reads the file and exchanges anew, and so a changed file counts, and nothing that a
 * library keeps stands between us and the exchange.
 */
export function createGoogleSource(options: GoogleOptions): CredentialSource {
  const { file, metadataHost, optional, access, host, workloadToken } = options
  let known: Known = before(file, metadataHost)
  const learn: Learn = (learned) => {
    known = { ...known, ...learned }
  }
  return {
    identity: () => known.identity,
    source: () => known.source,
    fetch: async () => {
      if (file !== undefined) return fromFile(file, options, learn)
      // To a pod's token belongs what that pod may read, and not what the machine may.
      const isForPod = workloadToken !== undefined
      if (!isForPod && (metadataHost !== undefined || (await hasMetadataServer())))
        return fromMetadataServer(options, { account: known.account, learn })
      if (!optional)
        throw new CredentialError(
          isForPod
            ? "no credential file is configured to exchange the pod's token by"
            : 'no credential file is configured and this machine has no metadata server',
          { advice: howToConfigure },
        )
      learn({ identity: 'anonymous', source: 'neither a credential file nor a metadata server' })
      return { credential: { kind: 'anonymous' } }
    },
    advice: (repository) => {
      const { identity } = known
      if (identity === 'anonymous')
        return `no credentials for Google were found here: ${howToConfigure}`
      const advice = pullAdvice({ host, repository, identity, access })
      return file === undefined
        ? `${advice}; the access scopes of a machine without GKE have to allow it as well`
        : advice
    },
  }
}

const howToConfigure =
  'set upstreams[].credentials.file or $GOOGLE_APPLICATION_CREDENTIALS to what gcloud iam workload-identity-pools create-cred-config wrote, or run where there is a metadata server'

function before(file: string | undefined, metadataHost: string | undefined): Known {
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
    deadline = usualDeadline,
  }: GoogleOptions,
  learn: Learn,
): Promise<Fetched> {
  const configuration = withWorkloadToken(await readConfiguration(file), workloadToken)
  const origin = subjectTokenOrigin(configuration, workloadToken !== undefined)
  learn(identityOf(configuration, { file, origin }))
  const secrets = [...secretsIn(configuration)]
  let claims: Claims | undefined
  const onSubjectToken = (token: string) => {
    secrets.push(token)
    claims = readClaims(token)
    learn(subjectsIdentity(configuration, claims))
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
    throw explain(error, { configuration, claims, origin, secrets })
  }
}

async function fromMetadataServer(
  {
    metadataHost: host,
    access,
    outbound = createOutbound(),
    deadline = usualDeadline,
  }: GoogleOptions,
  { account, learn }: { readonly account: string | undefined; readonly learn: Learn },
): Promise<Fetched> {
  return withTransport({ deadline, outbound, direct: true }, async (transport) => {
    const question = { transport, host }
    // Asked when there is no token as well: then most of all it matters whose there should be.
    const whose = async () => {
      const email = account ?? (await askForEmail(question))
      if (email !== undefined) learn({ identity: email, account: email })
      return email
    }
    try {
      const { token, lifetime } = await askForToken(question, scopes[access])
      await whose()
      return { credential: accessToken(token), lifetime }
    } catch (error) {
      throw explainMetadata(error, { host, email: await whose() })
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
