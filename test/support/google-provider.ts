import type { AwsMachine } from './aws-machine.ts'
import { type ClusterIssuer, isSignedByIssuer, parseJwt } from './cluster-issuer.ts'
import { scopesKnown } from './google-accounts.ts'

/** How the provider in the pool, and IAM, are set. */
export type Policy = {
  /** The provider exists and is enabled. */
  readonly provider: boolean
  /** Instead of the cluster's. */
  readonly issuer: string | undefined
  /** Subjects that the attribute condition lets in. */
  readonly subjects: RegExp
  /** Who may act for the service account. */
  readonly impersonators: RegExp
}

export const openPolicy: Policy = {
  provider: true,
  issuer: undefined,
  subjects: /./,
  impersonators: /./,
}

export const pool =
  '//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/clusters'
export const audience = `${pool}/providers/cluster`
export const jwtType = 'urn:ietf:params:oauth:token-type:jwt'
export const awsType = 'urn:ietf:params:aws:token-type:aws4_request'
export const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'

type Provider = {
  readonly cluster: ClusterIssuer
  /** Whose role's signatures it takes instead of the cluster's tokens. */
  readonly aws: AwsMachine | undefined
  readonly policy: Policy
}

/** The code and words with which an exchange is refused; undefined: it is all right. */
export async function wrongIn(
  form: URLSearchParams,
  provider: Provider,
): Promise<readonly [string, string] | undefined> {
  const { aws, policy } = provider
  const isOf = (name: string, value: string) => form.get(name) === value
  if (!isOf('grant_type', 'urn:ietf:params:oauth:grant-type:token-exchange'))
    return ['unsupported_grant_type', 'Invalid grant type.']
  if (!isOf('requested_token_type', accessTokenType))
    return ['invalid_request', 'Invalid requested token type.']
  const asked = form.get('audience') ?? ''
  if (!/^\/\/iam\.googleapis\.com\/projects\/\d+\/locations\/global\/workload/.test(asked))
    return [
      'invalid_request',
      'Invalid value for "audience". This value should be the full resource name of the Identity Provider.',
    ]
  if (asked !== audience || !policy.provider)
    return [
      'invalid_target',
      'The target service indicated by the "audience" parameters is invalid. This might either be because the pool or provider is disabled or deleted or because it doesn\'t exist.',
    ]
  if (!scopesKnown.has(form.get('scope') ?? '')) return ['invalid_scope', 'Invalid scope.']
  const token = form.get('subject_token') ?? ''
  if (aws !== undefined)
    return isOf('subject_token_type', awsType) && aws.hasSigned(token, audience)
      ? undefined
      : ['invalid_grant', 'Received invalid AWS response of type SignatureDoesNotMatch.']
  if (!isOf('subject_token_type', jwtType))
    return ['invalid_request', 'Invalid subject token type.']
  return wrongWith(token, provider)
}

async function wrongWith(
  token: string,
  { cluster, policy }: Provider,
): Promise<readonly [string, string] | undefined> {
  const claims = parseJwt(token)?.claims
  const issuer = policy.issuer ?? cluster.url
  if (claims === undefined || /\s/.test(token))
    return ['invalid_request', 'Invalid JWT: failed to parse the given ID Token.']
  if (claims.iss !== issuer)
    return [
      'invalid_grant',
      `The issuer in ID Token ${claims.iss} does not match the expected ones.`,
    ]
  const signed = await isSignedByIssuer(token, issuer)
  if (signed === 'unreachable')
    return ['invalid_grant', "Error connecting to the given credential's issuer."]
  if (!signed)
    return ['invalid_grant', 'Invalid JWT signature: the ID Token was signed by an unknown key.']
  const audiences = [claims.aud ?? []].flat()
  if (!audiences.includes(`https:${audience}`) && !audiences.includes(audience))
    return [
      'invalid_grant',
      `The audience in ID Token [${audiences.join(', ')}] does not match the expected audience.`,
    ]
  if ((claims.exp ?? 0) < Date.now() / 1000)
    return ['invalid_grant', `ID Token issued at ${claims.iat} is stale to sign-in.`]
  if (!policy.subjects.test(claims.sub ?? ''))
    return ['unauthorized_client', 'The given credential is rejected by the attribute condition.']
  return undefined
}
