import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'
import type { AwsAmbient } from '../credentials-options.ts'
import { readClaims } from '../jwt.ts'
import { type EcrRegistry, partitionOf } from './ecr-host.ts'

/** How much of AWS's own words is told, in characters. */
const longestWords = 300

/** The last words of a provider chain in which nobody has keys. */
const nobody = 'Could not load credentials from any providers'

const text = z.string().optional().catch(undefined)
const errorSchema = z
  .looseObject({
    name: text,
    message: text,
    /** Of Node's network errors. */
    code: text,
    /** As an agent of EKS or ECS says it. */
    Code: text,
    Message: text,
    $metadata: z.looseObject({ httpStatusCode: z.number().optional() }).optional().catch(undefined),
  })
  .catch({})

type KeysContext = {
  readonly profile: string | undefined
  readonly ambient: AwsAmbient
  /** That was to be assumed with `token`, if one was. */
  readonly role: string | undefined
  readonly token: string | undefined
}

type TokenContext = {
  readonly registry: EcrRegistry
  readonly region: string
  /** Where the keys come from, and whose they are, in words. */
  readonly source: string
  readonly identity: string
}

type Failure = ReturnType<typeof failureIn>

/** Nobody in the provider chain has keys, or the last one that was asked failed to give some. */
export function isNoProvider(error: unknown): boolean {
  return failureIn(error).code === 'CredentialsProviderError'
}

/**
 * Why there are no keys. None of these has the library's error as its cause: AWS repeats a request that
 * it refuses with its headers, a session's token among them.
 */
export function toldOfKeys(error: unknown, context: KeysContext): CredentialError {
  const { profile, ambient, role, token } = context
  const failure = failureIn(error, token?.trim())
  if (failure.code === 'ENOENT' || failure.code === 'EACCES')
    return new CredentialError(`a file that AWS's keys need cannot be read: ${failure.words}`, {
      advice: adviceOnFile(failure.code, ambient),
    })
  if (ambient.containerUrl !== undefined && isNoProvider(error) && profile === undefined)
    return new CredentialError(
      `the agent at ${URL.parse(ambient.containerUrl)?.origin} (EKS Pod Identity, ECS) gave no keys: ${failure.words}`,
      {
        advice:
          'see that the add-on eks-pod-identity-agent runs on this node and that an association of the namespace and service account with a role exists (aws eks list-pod-identity-associations --cluster-name CLUSTER), whose trust policy allows pods.eks.amazonaws.com sts:AssumeRole and sts:TagSession; pods get the variables when they are created',
      },
    )
  if (isNoProvider(error)) return noKeys(failure, context)
  const section = profile ?? ambient.profile
  if (role === undefined || !token || section !== undefined)
    return new CredentialError(`AWS gave no keys: ${failure.words}`, {
      advice: general(failure, {
        endpoint: 'the security token service (STS)',
        whose: `the profile ${section ?? 'default'}`,
      }),
    })
  const claims = claimsOf(token)
  return new CredentialError(
    `STS did not let the service account's token (${claims.shown}) assume the role ${role}: ${failure.words}`,
    { advice: adviceOnTrust(failure, role, claims) },
  )
}

export function noRole(annotation: string, token: string): CredentialError {
  return new CredentialError(
    `the service account whose token came with the request (${claimsOf(token).shown}) names no role`,
    {
      advice: `annotate it: kubectl annotate serviceaccount NAME ${annotation}=arn:aws:iam::ACCOUNT:role/ROLE, and let the kubelet's provider ask for that annotation (tokenAttributes.optionalServiceAccountAnnotationKeys)`,
    },
  )
}

/** Why there are keys, and yet no token of the registry's. */
export function toldOfToken(error: unknown, context: TokenContext): CredentialError {
  const { registry, region, source, identity } = context
  const failure = failureIn(error)
  const service = registry.kind === 'public' ? 'ecr-public' : 'ecr'
  const action = `${service}:GetAuthorizationToken`
  const { suffix } = partitionOf(region)
  const endpoint = `api.${service}.${region}.${suffix}`
  const advice = /^AccessDenied/.test(failure.code)
    ? `allow ${identity} the action ${action} on the resource "*"${registry.kind === 'public' ? ', and sts:GetServiceBearerToken' : ''}: attach the managed policy ${registry.kind === 'public' ? 'AmazonElasticContainerRegistryPublicReadOnly' : 'AmazonEC2ContainerRegistryPullOnly'} to it, and see that no service control policy, permissions boundary or VPC endpoint policy denies it`
    : general(failure, { endpoint: `https://${endpoint}`, whose: source })
  return new CredentialError(
    `${action} in ${region} as ${identity}, with the keys of ${source}: ${failure.words}`,
    { advice },
  )
}

function noKeys({ words }: Failure, { profile, ambient }: KeysContext): CredentialError {
  const wanted = profile ?? ambient.profile
  if (!words.endsWith(nobody))
    return new CredentialError(`AWS's provider chain stopped: ${words}`, {
      advice: `aws sts get-caller-identity --profile ${wanted ?? 'default'} must work for the user and in the environment of this process`,
    })
  const looked = [
    wanted === undefined
      ? 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set'
      : 'AWS_ACCESS_KEY_ID does not count beside a profile',
    `AWS's configuration files (~/.aws/config, ~/.aws/credentials) give no keys for the profile ${wanted ?? 'default'}`,
    'AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN (IRSA) are not both set',
    ambient.containerUrl === undefined
      ? 'AWS_CONTAINER_CREDENTIALS_FULL_URI (EKS Pod Identity) is not set'
      : `the agent at ${URL.parse(ambient.containerUrl)?.origin} (EKS Pod Identity) gave none`,
    'the instance metadata service gave none',
  ]
  return new CredentialError(`AWS's provider chain found no keys: ${looked.join('; ')}`, {
    advice:
      wanted === undefined
        ? 'on EKS annotate the service account with eks.amazonaws.com/role-arn (IRSA) or make a Pod Identity association, and create the pod anew; elsewhere set a profile (upstreams[].credentials.profile) or the variables; on EC2 give the instance a role, and pods a hop limit of 2 (aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2)'
        : adviceOnProfile(wanted),
  })
}

/** Keys were found, but not where they were to come from. */
export function noProfile(profile: string, found: string): CredentialError {
  return new CredentialError(
    `AWS's configuration files (~/.aws/config, ~/.aws/credentials) give no keys for the profile ${profile}, in whose place those of ${found} are not used`,
    { advice: adviceOnProfile(profile) },
  )
}

function adviceOnProfile(profile: string): string {
  return `run, as the user and in the environment of this process: aws sts get-caller-identity --profile ${profile}, which tells what is wrong with it (a credential_process that fails, a section without keys); AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE must name files that this process can read`
}

function adviceOnTrust(
  failure: Failure,
  role: string,
  { sub, iss, audience }: ReturnType<typeof claimsOf>,
): string {
  if (iss === notTold)
    return 'that is no JSON Web Token of a service account: see what was put in its place'
  const issuer = iss.replace(/^https:\/\//, '')
  const [, partition = 'aws', account = 'ACCOUNT'] = /^arn:([^:]+):iam::(\d+):/.exec(role) ?? []
  const provider = `arn:${partition}:iam::${account}:oidc-provider/${issuer}`
  if (/^AccessDenied/.test(failure.code))
    return `the role must exist, and its trust policy allow sts:AssumeRoleWithWebIdentity to ${provider} with the conditions "${issuer}:sub": "${sub}" and "${issuer}:aud": "${audience}": aws iam get-role --role-name ${role.split('/').at(-1)}`
  if (/audience/i.test(failure.words))
    return `the token must be for the audience sts.amazonaws.com, which ${provider} must list: set it where the serviceAccountToken is projected (aws iam get-open-id-connect-provider --open-id-connect-provider-arn ${provider})`
  if (/^InvalidIdentityToken/.test(failure.code))
    return `account ${account} must know the cluster as identity provider ${provider}: eksctl utils associate-iam-oidc-provider --cluster CLUSTER --approve, or aws iam create-open-id-connect-provider --url ${iss} --client-id-list sts.amazonaws.com`
  if (/^ExpiredToken/.test(failure.code))
    return 'the token must be one that the kubelet renews (a projected serviceAccountToken), not a copy, and the clock right'
  if (/^IDPCommunicationError/.test(failure.code))
    return `STS must be able to fetch ${iss}/.well-known/openid-configuration and the keys that it names, from the internet`
  return general(failure, {
    endpoint: 'the security token service, https://sts.REGION.amazonaws.com',
    whose: "the service account's token",
  })
}

type Circumstances = { readonly endpoint: string; readonly whose: string }

/** What may befall each call to AWS. */
function general({ code, status }: Failure, { endpoint, whose }: Circumstances): string {
  if (/^ExpiredToken|TokenRefreshRequired/.test(code))
    return `the keys of ${whose} have expired: renew them (aws sso login, aws sts assume-role), or use a source that renews itself, such as IRSA or Pod Identity`
  if (/^(InvalidSignature|SignatureDoesNotMatch|RequestExpired|RequestTimeTooSkewed)/.test(code))
    return `the secret key of ${whose} is not that of its access key, or this machine's clock is wrong by more than five minutes: compare date -u with the time that AWS tells`
  if (/^(UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId)/.test(code))
    return `AWS does not know the keys of ${whose}: they were deleted or deactivated, belong to another partition, or their account has not enabled this region`
  if (/^(Throttling|TooManyRequests|RequestLimitExceeded|SlowDown)/.test(code) || status === 429)
    return 'nothing has to be changed: it is asked again, less and less often'
  if (/^AccessDenied/.test(code))
    return `allow ${whose} what AWS names, and let the trust policy of a role that is to be assumed name who assumes it`
  if (/^RegionDisabled/.test(code))
    return 'enable the region for the account (aws account enable-region), and STS in it'
  if (status !== undefined && status >= 500)
    return `nothing has to be changed here: see https://health.aws.amazon.com for ${endpoint}`
  if (/CERT|SELF_SIGNED/.test(code))
    return `something between here and ${endpoint} shows a certificate of its own, as proxies do that look into TLS: name the file of its authority in SSL_CERT_FILE, NODE_EXTRA_CA_CERTS or the upstream's certificateAuthorities`
  if (status === undefined)
    return `${endpoint} must be reachable from here: by a NAT gateway, by HTTPS_PROXY, or by interface VPC endpoints (com.amazonaws.REGION.ecr.api, .ecr.dkr and .sts) whose security groups let port 443 in`
  if (/^(SyntaxError|TypeError|Unknown|UnknownError)$/.test(code))
    return `that was no answer of AWS's: look whether a proxy, or a page that wants a login, stands between here and ${endpoint}`
  return `see what AWS says of ${code}`
}

/** `secret` was sent, and so may come back in what was answered. */
function failureIn(error: unknown, secret = '') {
  const { name = 'Error', message, code, Code, Message, $metadata } = errorSchema.parse(error)
  const status = $metadata?.httpStatusCode
  // The library calls a connection that broke a time-out as well.
  const isLate =
    code === 'ETIMEDOUT' || (/Timeout|Abort/.test(name) && !/^(ECONN|EPIPE)/.test(code ?? ''))
  // Node's errors of several addresses have no message.
  const told = isLate
    ? `no answer in time (${code ?? name})`
    : [Code ?? (code || name), Message, message?.replace(`${code}: `, '')]
        .filter(Boolean)
        .join(': ')
  return {
    code: status === undefined && code !== undefined ? code : name,
    status,
    // The lines below repeat the request.
    words: (hide(told, secret).split(/\r?\n/)[0] ?? '').slice(0, longestWords),
  }
}

function hide(words: string, secret: string): string {
  return secret === '' ? words : words.replaceAll(secret, '[redacted]')
}

const notTold = 'not told'

/** What a token says of itself; none of it is a secret. */
function claimsOf(token: string) {
  const { sub = notTold, iss = notTold, aud = [notTold] } = readClaims(token) ?? {}
  const audience = aud.join(' ')
  return { sub, iss, audience, shown: `sub ${sub}, aud ${audience}, iss ${iss}` }
}

function adviceOnFile(code: 'ENOENT' | 'EACCES', { tokenFile, containerUrl }: AwsAmbient): string {
  if (code === 'EACCES')
    return 'let the user of this process read it: for a projected token set securityContext.fsGroup of the pod'
  if (tokenFile === undefined && containerUrl === undefined)
    return "see what the profile in AWS's configuration files names"
  return `mount a projected serviceAccountToken there, with the audience ${tokenFile === undefined ? 'pods.eks.amazonaws.com' : 'sts.amazonaws.com'}; EKS does so by itself for pods that are created after their service account was given its role`
}
