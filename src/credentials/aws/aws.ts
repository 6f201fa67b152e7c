import { createOutbound, type Outbound } from '../../outbound/outbound.ts'
import type { Access, CredentialSource, Fetched } from '../credential.ts'
import { CredentialError } from '../credential-error.ts'
import type { CredentialsOptions, WorkloadToken } from '../credentials-options.ts'
import { callerArn } from './caller-identity.ts'
import { createEcrClient } from './ecr-client.ts'
import { type EcrRegistry, parseEcrHost, partitionOf, publicRegion } from './ecr-host.ts'
import { tokenError } from './failures.ts'
import { findKeys } from './keys.ts'

export type { AwsRequest } from './http-handler.ts'
export { findKeys as findAwsKeys } from './keys.ts'

type AwsOptions = Omit<Extract<CredentialsOptions, { type: 'aws' }>, 'type'> & {
  readonly host: string
  readonly outbound?: Outbound | undefined
  readonly certificateAuthorities?: string | undefined
  readonly workloadToken?: WorkloadToken | undefined
}

/** For the call to ECR with its retry, in milliseconds. */
const ecrTimeout = 8000

/**
 * Amazon ECR and ECR Public. GetAuthorizationToken returns a password that is valid for twelve hours for
 * all registries that the caller may read, also those of other accounts. ECR accepts it as Basic, ECR
 * Public at its token endpoint.
 */
export function createAwsSource(options: AwsOptions): CredentialSource {
  const { host, profile, workloadToken, ambient = {} } = options
  const route = {
    outbound: options.outbound ?? createOutbound(),
    certificateAuthorities: options.certificateAuthorities,
  }
  const registry = registryOf(options)
  let identity = initialIdentity(options)
  let source = 'the AWS default provider chain'

  const exchange = async (known: EcrRegistry): Promise<Fetched> => {
    const region = known.kind === 'public' ? publicRegion : known.region
    const { keys, source: found } = await findKeys({
      region,
      profile,
      ambient,
      route,
      workloadToken,
    })
    source = found
    const client = await createEcrClient({ registry: known, keys, profile, route })
    const where = ambient.region ?? region
    const caller = callerArn({ keys, region: where, ambient, route, sha256: client.sha256 })
    const [answer, arn] = await Promise.allSettled([
      client.getToken(AbortSignal.timeout(ecrTimeout)),
      caller,
    ])
    if (arn.status === 'fulfilled') identity = arn.value ?? identity
    if (answer.status === 'fulfilled') return fetchedFrom(answer.value)
    throw tokenError(answer.reason, { registry: known, region, source, identity })
  }

  return {
    identity: () => identity,
    source: () => source,
    fetch: async () => {
      if (registry !== undefined) return exchange(registry)
      throw new CredentialError(
        `the host name ${host} does not contain the AWS region of the registry`,
        {
          advice:
            "set upstreams[].credentials.region, or use the registry's own host name in upstreams[].url: https://ACCOUNT.dkr.ecr.REGION.amazonaws.com",
        },
      )
    },
    advice: (repository, access) =>
      registry && accessAdvice(registry, { repository, identity, access }),
  }
}

/** The configured region overrides the one in the host name. */
function registryOf({ host, region }: AwsOptions): EcrRegistry | undefined {
  const named = parseEcrHost(host)
  if (named?.kind === 'public' || region === undefined) return named
  return { kind: 'private', fips: false, dualStack: false, ...named, region }
}

function initialIdentity({ profile, ambient = {}, workloadToken }: AwsOptions): string {
  const annotated = workloadToken?.annotations['eks.amazonaws.com/role-arn']
  if (annotated !== undefined) return annotated
  const section = profile ?? ambient.profile
  if (section !== undefined) return `the AWS profile ${section}`
  return ambient.roleArn ?? 'the identity from the AWS default provider chain'
}

/** The token is base64 of `AWS:password`. */
function fetchedFrom(answer: Awaited<ReturnType<EcrToken>>): Fetched {
  const decoded = Buffer.from(answer?.authorizationToken ?? '', 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  if (colon <= 0) throw new CredentialError('ECR answered without an authorization token')
  const [username, password] = [decoded.slice(0, colon), decoded.slice(colon + 1)]
  const credential = { kind: 'password', username, password } as const
  const lifetime = answer?.expiresAt && answer.expiresAt.getTime() - Date.now()
  return { credential, lifetime }
}

type EcrToken = Awaited<ReturnType<typeof createEcrClient>>['getToken']

type Denied = {
  readonly repository: string
  readonly identity: string
  readonly access?: Access | undefined
}

/** IAM actions, and the managed policies that contain them. */
const permissions = {
  pull: [
    'ecr:BatchGetImage, ecr:GetDownloadUrlForLayer and ecr:BatchCheckLayerAvailability',
    'the managed policies AmazonEC2ContainerRegistryPullOnly and AmazonEC2ContainerRegistryReadOnly contain them',
  ],
  push: [
    'ecr:BatchCheckLayerAvailability, ecr:InitiateLayerUpload, ecr:UploadLayerPart, ecr:CompleteLayerUpload, ecr:PutImage, ecr:BatchGetImage and ecr:GetDownloadUrlForLayer',
    'the managed policy AmazonEC2ContainerRegistryPowerUser contains them',
  ],
  delete: [
    'ecr:BatchDeleteImage, ecr:BatchGetImage and ecr:BatchCheckLayerAvailability',
    'the managed policy AmazonEC2ContainerRegistryFullAccess contains them',
  ],
} as const satisfies Record<Access, readonly [actions: string, policies: string]>

function accessAdvice(
  registry: EcrRegistry,
  { repository, identity, access = 'pull' }: Denied,
): string {
  if (registry.kind === 'public' && access !== 'pull')
    return `grant ${identity} the actions of the managed policy AmazonElasticContainerRegistryPublicPowerUser, in the account that owns the repository`
  if (registry.kind === 'public')
    return 'repositories of ECR Public are public: check the name (ALIAS/REPOSITORY)'
  const { region, account = 'ACCOUNT' } = registry
  const [, caller] = /^arn:[^:]*:[^:]*:[^:]*:(\d*):/.exec(identity) ?? []
  const arn = `arn:${partitionOf(region).name}:ecr:${region}:${account}:repository/${repository || '*'}`
  const [actions, policies] = permissions[access]
  const own = `grant ${identity} the actions ${actions} on ${arn} (${policies})`
  if (caller === account) return own
  const policy = `the repository policy must also grant them to this identity: aws ecr set-repository-policy --region ${region} --registry-id ${account} --repository-name ${repository || 'NAME'} --policy-text file://policy.json`
  return caller === undefined || account === 'ACCOUNT'
    ? `${own}; if the registry belongs to another account, ${policy}`
    : `${own}; the registry belongs to account ${account}, not to ${caller}, so ${policy}`
}
