import type { AdviceRow } from '../advise.ts'
import type { AwsAmbient } from '../credentials-options.ts'

/** A failed call to AWS. */
type Failure = {
  /** Of AWS, or of the network: `AccessDenied`, `ECONNREFUSED`. */
  readonly code: string
  readonly status: number | undefined
  readonly message: string
}

type GeneralFailure = Failure & {
  readonly endpoint: string
  /** Of the keys. */
  readonly source: string
}

type TokenFailure = GeneralFailure & { readonly identity: string; readonly isPublic: boolean }

type TrustFailure = GeneralFailure & {
  readonly role: string
  readonly sub: string
  readonly iss: string | undefined
  readonly audience: string
}

type FileFailure = Failure & { readonly ambient: AwsAmbient }

const codeMatches =
  (pattern: RegExp) =>
  ({ code }: Failure) =>
    pattern.test(code)

/** For each call to AWS. */
export const generalRows: readonly AdviceRow<GeneralFailure>[] = [
  {
    when: codeMatches(/^ExpiredToken|TokenRefreshRequired/),
    say: ({ source }) =>
      `the keys from ${source} have expired: renew them (aws sso login, aws sts assume-role), or use a source that renews its keys, such as IRSA or EKS Pod Identity`,
  },
  {
    when: codeMatches(
      /^(InvalidSignature|SignatureDoesNotMatch|RequestExpired|RequestTimeTooSkewed)/,
    ),
    say: ({ source }) =>
      `the secret key from ${source} does not belong to its access key ID, or the clock of this machine is wrong by more than five minutes: correct the key, or the clock (date -u)`,
  },
  {
    when: codeMatches(/^(UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId)/),
    say: ({ source }) =>
      `AWS does not accept the keys from ${source}: they were deleted or deactivated, belong to another partition, or their account has not enabled this region`,
  },
  {
    when: ({ code, status }) =>
      /^(Throttling|TooManyRequests|RequestLimitExceeded|SlowDown)/.test(code) || status === 429,
    say: 'AWS throttles requests; Berth retries with increasing delays, no change is needed',
  },
  {
    when: codeMatches(/^AccessDenied/),
    say: ({ source }) =>
      `grant ${source} the action that AWS names; to assume a role, the trust policy of the role must name the caller`,
  },
  {
    when: codeMatches(/^RegionDisabled/),
    say: 'enable the region for the account (aws account enable-region --region-name REGION), and STS in that region',
  },
  {
    when: ({ status = 0 }) => status >= 500,
    say: ({ endpoint }) =>
      `${endpoint} has an internal error (see https://health.aws.amazon.com); Berth retries, no change is needed`,
  },
  {
    when: codeMatches(/CERT|SELF_SIGNED/),
    say: ({ endpoint }) =>
      `the certificate of ${endpoint} is signed by an unknown authority: if a proxy intercepts TLS here, name the file with its certificate authority in SSL_CERT_FILE, NODE_EXTRA_CA_CERTS or upstreams[].certificateAuthorities`,
  },
  {
    when: ({ status }) => status === undefined,
    say: ({ endpoint }) =>
      `allow connections to ${endpoint}: through a NAT gateway, HTTPS_PROXY, or interface VPC endpoints (com.amazonaws.REGION.ecr.api, .ecr.dkr and .sts) whose security groups allow port 443`,
  },
  {
    when: codeMatches(/^(SyntaxError|TypeError|Unknown|UnknownError)$/),
    say: ({ endpoint }) =>
      `the answer does not come from AWS: check whether a proxy or a login page intercepts requests to ${endpoint}`,
  },
  { when: () => true, say: ({ code }) => `look up ${code} in the documentation of AWS` },
]

/** For GetAuthorizationToken. */
export const tokenRows: readonly AdviceRow<TokenFailure>[] = [
  {
    when: codeMatches(/^AccessDenied/),
    say: ({ identity, isPublic }) =>
      isPublic
        ? `grant ${identity} ecr-public:GetAuthorizationToken on the resource "*", and sts:GetServiceBearerToken: attach the managed policy AmazonElasticContainerRegistryPublicReadOnly; check that no service control policy, permissions boundary or VPC endpoint policy denies it`
        : `grant ${identity} ecr:GetAuthorizationToken on the resource "*": attach the managed policy AmazonEC2ContainerRegistryPullOnly; check that no service control policy, permissions boundary or VPC endpoint policy denies it`,
  },
  ...generalRows,
]

/** For AssumeRoleWithWebIdentity. */
export const trustRows: readonly AdviceRow<TrustFailure>[] = [
  {
    when: ({ iss }) => iss === undefined,
    say: 'the token is not a JSON Web Token of a service account: check the source of the token',
  },
  {
    when: codeMatches(/^AccessDenied/),
    say: ({ iss = '', sub, audience, ...failure }) =>
      `check that the role exists, and that its trust policy allows sts:AssumeRoleWithWebIdentity for ${providerOf({ iss, ...failure })} with the conditions "${issuerName(iss)}:sub": "${sub}" and "${issuerName(iss)}:aud": "${audience}": aws iam get-role --role-name ${failure.role.split('/').at(-1)}`,
  },
  {
    when: ({ message }) => /audience/i.test(message),
    say: (failure) =>
      `set the audience of the projected serviceAccountToken to sts.amazonaws.com, and check that the identity provider lists it: aws iam get-open-id-connect-provider --open-id-connect-provider-arn ${providerOf(failure)}`,
  },
  {
    when: codeMatches(/^InvalidIdentityToken/),
    say: (failure) =>
      `add the cluster as identity provider ${providerOf(failure)} to the account ${accountIn(failure.role)}: eksctl utils associate-iam-oidc-provider --cluster CLUSTER --approve, or aws iam create-open-id-connect-provider --url ${failure.iss} --client-id-list sts.amazonaws.com`,
  },
  {
    when: codeMatches(/^ExpiredToken/),
    say: 'mount a token that the kubelet renews (a projected serviceAccountToken), not a copy, and check the clock of this machine',
  },
  {
    when: codeMatches(/^IDPCommunicationError/),
    say: ({ iss }) =>
      `STS must be able to fetch ${iss}/.well-known/openid-configuration, and the keys that it names, from the internet: make them public`,
  },
  ...generalRows,
]

/** For files that cannot be read. */
export const fileRows: readonly AdviceRow<FileFailure>[] = [
  {
    when: codeMatches(/^EACCES$/),
    say: 'make the file readable for the user that Berth runs as: for a projected token, set securityContext.fsGroup of the pod',
  },
  {
    when: ({ ambient }) => ambient.tokenFile === undefined && ambient.containerUrl === undefined,
    say: "check the path in the profile in AWS's configuration files",
  },
  {
    when: () => true,
    say: ({ ambient }) =>
      `mount a projected serviceAccountToken at that path, with the audience ${ambient.tokenFile === undefined ? 'pods.eks.amazonaws.com' : 'sts.amazonaws.com'}; EKS mounts it in pods that are created after their service account was given its role`,
  },
]

export function adviseOnProfile(profile: string): string {
  return `run this command as the user and in the environment of Berth, and fix what it reports (a credential_process that fails, a section without keys): aws sts get-caller-identity --profile ${profile}; check that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name readable files`
}

function issuerName(iss: string): string {
  return iss.replace(/^https:\/\//, '')
}

function providerOf({ role, iss = '' }: Pick<TrustFailure, 'role' | 'iss'>): string {
  const [, partition = 'aws'] = /^arn:([^:]+):iam::/.exec(role) ?? []
  return `arn:${partition}:iam::${accountIn(role)}:oidc-provider/${issuerName(iss)}`
}

function accountIn(role: string): string {
  return /^arn:[^:]+:iam::(\d+):/.exec(role)?.[1] ?? 'ACCOUNT'
}
