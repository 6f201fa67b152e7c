import { z } from 'zod'
import { advise } from '../advise.ts'
import { CredentialError } from '../credential-error.ts'
import type { AwsAmbient } from '../credentials-options.ts'
import { readClaims } from '../jwt.ts'
import { adviseOnProfile, fileRows, generalRows, tokenRows, trustRows } from './advice.ts'
import { type EcrRegistry, partitionOf } from './ecr-host.ts'

/** Of AWS's error message, in characters. */
const maxMessageLength = 300

/** The library's message when no provider of the chain has keys. */
const noProviderMessage = 'Could not load credentials from any providers'

const text = z.string().optional().catch(undefined)
const errorSchema = z
  .looseObject({
    name: text,
    message: text,
    /** Of Node's network errors. */
    code: text,
    /** From an agent of EKS or ECS. */
    Code: text,
    Message: text,
    $metadata: z.looseObject({ httpStatusCode: z.number().optional() }).optional().catch(undefined),
  })
  .catch({})

type KeysContext = {
  readonly profile: string | undefined
  readonly ambient: AwsAmbient
  /** The role to assume with `token`, if any. */
  readonly role: string | undefined
  readonly token: string | undefined
}

type TokenContext = {
  readonly registry: EcrRegistry
  readonly region: string
  /** Of the keys, for messages. */
  readonly source: string
  readonly identity: string
}

/** No provider of the chain has keys, or the last one failed. */
export function isNoProvider(error: unknown): boolean {
  return readFailure(error).code === 'CredentialsProviderError'
}

/**
 * Why there are no AWS keys. The library's error is never the cause: AWS repeats a rejected request with
 * its headers, including the session token.
 */
export function keysError(error: unknown, context: KeysContext): CredentialError {
  const { profile, ambient, role, token } = context
  const failure = readFailure(error, token?.trim())
  if (failure.code === 'ENOENT' || failure.code === 'EACCES')
    return new CredentialError(
      `cannot read a file that contains AWS credentials: ${failure.message}`,
      {
        advice: advise(fileRows, { ...failure, ambient }),
      },
    )
  if (ambient.containerUrl !== undefined && isNoProvider(error) && profile === undefined)
    return new CredentialError(
      `cannot get AWS keys from the agent at ${URL.parse(ambient.containerUrl)?.origin} (EKS Pod Identity, ECS): ${failure.message}`,
      {
        advice:
          'check that the add-on eks-pod-identity-agent runs on this node, and that an association of the namespace and service account with a role exists (aws eks list-pod-identity-associations --cluster-name CLUSTER) whose trust policy allows pods.eks.amazonaws.com to use sts:AssumeRole and sts:TagSession; a pod gets the environment variables when it is created, so recreate it after changes',
      },
    )
  if (isNoProvider(error)) return noKeysError(failure.message, context)
  const section = profile ?? ambient.profile
  if (role === undefined || !token || section !== undefined)
    return new CredentialError(`cannot get AWS keys: ${failure.message}`, {
      advice: advise(generalRows, {
        ...failure,
        endpoint: 'the security token service (STS)',
        source: `the profile ${section ?? 'default'}`,
      }),
    })
  const claims = claimsOf(token)
  return new CredentialError(
    `cannot assume the role ${role} with the service account's token (${claims.summary}): ${failure.message}`,
    {
      advice: advise(trustRows, {
        ...failure,
        ...claims,
        role,
        endpoint: 'the security token service, https://sts.REGION.amazonaws.com',
        source: "the service account's token",
      }),
    },
  )
}

export function noRoleError(annotation: string, token: string): CredentialError {
  return new CredentialError(
    `the kubelet sent a service account token (${claimsOf(token).summary}) whose service account has no role`,
    {
      advice: `annotate the service account: kubectl annotate serviceaccount NAME ${annotation}=arn:aws:iam::ACCOUNT:role/ROLE; and let the kubelet send this annotation (tokenAttributes.optionalServiceAccountAnnotationKeys in its CredentialProviderConfig)`,
    },
  )
}

/** Why the registry gives no token although there are AWS keys. */
export function tokenError(error: unknown, context: TokenContext): CredentialError {
  const { registry, region, source, identity } = context
  const failure = readFailure(error)
  const service = registry.kind === 'public' ? 'ecr-public' : 'ecr'
  const { suffix } = partitionOf(region)
  return new CredentialError(
    `cannot call ${service}:GetAuthorizationToken in ${region} as ${identity}, with the keys from ${source}: ${failure.message}`,
    {
      advice: advise(tokenRows, {
        ...failure,
        identity,
        source,
        isPublic: registry.kind === 'public',
        endpoint: `https://api.${service}.${region}.${suffix}`,
      }),
    },
  )
}

function noKeysError(message: string, { profile, ambient }: KeysContext): CredentialError {
  const wanted = profile ?? ambient.profile
  if (!message.endsWith(noProviderMessage))
    return new CredentialError(`cannot get AWS keys from the provider chain: ${message}`, {
      advice: `run this command as the user and in the environment of Berth, and fix what it reports: aws sts get-caller-identity --profile ${wanted ?? 'default'}`,
    })
  const tried = [
    wanted === undefined
      ? 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set'
      : 'AWS_ACCESS_KEY_ID is ignored because a profile is configured',
    `AWS's configuration files (~/.aws/config, ~/.aws/credentials) have no keys for the profile ${wanted ?? 'default'}`,
    'AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN (IRSA) are not both set',
    ambient.containerUrl === undefined
      ? 'AWS_CONTAINER_CREDENTIALS_FULL_URI (EKS Pod Identity) is not set'
      : `the agent at ${URL.parse(ambient.containerUrl)?.origin} (EKS Pod Identity) returned no keys`,
    'the instance metadata service returned no keys',
  ]
  return new CredentialError(`the AWS provider chain found no keys: ${tried.join('; ')}`, {
    advice:
      wanted === undefined
        ? 'on EKS, annotate the service account with eks.amazonaws.com/role-arn (IRSA) or create a Pod Identity association, and recreate the pod; on EC2, assign a role to the instance, and set the hop limit for pods to 2 (aws ec2 modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2); elsewhere, set a profile (upstreams[].credentials.profile) or the environment variables'
        : adviseOnProfile(wanted),
  })
}

/** The provider chain found keys of another source than the configured profile. */
export function noProfileError(profile: string, source: string): CredentialError {
  return new CredentialError(
    `AWS's configuration files (~/.aws/config, ~/.aws/credentials) have no keys for the profile ${profile}; Berth does not use the keys from ${source} instead`,
    { advice: adviseOnProfile(profile) },
  )
}

/** `secret` was sent, and the response may repeat it. */
function readFailure(error: unknown, secret = '') {
  const { name = 'Error', message, code, Code, Message, $metadata } = errorSchema.parse(error)
  const status = $metadata?.httpStatusCode
  // The library also names a broken connection a time-out.
  const isTimeout =
    code === 'ETIMEDOUT' || (/Timeout|Abort/.test(name) && !/^(ECONN|EPIPE)/.test(code ?? ''))
  // Node's errors for several addresses have no message.
  const details = isTimeout
    ? `no answer in time (${code ?? name})`
    : [Code ?? (code || name), Message, message?.replace(`${code}: `, '')]
        .filter(Boolean)
        .join(': ')
  return {
    code: status === undefined && code !== undefined ? code : name,
    status,
    // The lines after the first one repeat the request.
    message: (withoutSecret(details, secret).split(/\r?\n/)[0] ?? '').slice(0, maxMessageLength),
  }
}

function withoutSecret(message: string, secret: string): string {
  return secret === '' ? message : message.replaceAll(secret, '[redacted]')
}

/** The claims of a token that are no secrets. */
function claimsOf(token: string) {
  const { sub = 'missing', iss, aud = ['missing'] } = readClaims(token) ?? {}
  const audience = aud.join(' ')
  return { sub, iss, audience, summary: `sub ${sub}, aud ${audience}, iss ${iss ?? 'missing'}` }
}
