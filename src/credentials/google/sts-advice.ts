import type { Claims } from '../jwt.ts'
import type { Refusal } from './failed-request.ts'
import type { Origin } from './subject-token.ts'

type Exchange = {
  /** The provider that the configuration names. */
  readonly audience: string
  readonly claims: Claims | undefined
  readonly origin: Origin
}

/** What to change when the security token service refuses the subject token. */
export function adviceOnSubjectToken(
  { status, code, detail, raw }: Refusal,
  exchange: Exchange,
): string {
  const { audience, claims, origin } = exchange
  if (detail === 'SERVICE_DISABLED' || (status === 403 && /disabled|not been used/.test(raw)))
    return `enable the API: gcloud services enable sts.googleapis.com${projectOf(audience)}`
  if (code === 'invalid_target')
    return `look whether the pool and the provider exist and are enabled: ${describe(audience)}`
  if (/attribute condition/i.test(raw))
    return `change the provider's attribute condition, or use another service account: the token's subject is ${claims?.sub ?? 'unknown'}; see: ${describe(audience)}`
  if (code === 'invalid_request' && /audience/i.test(raw))
    return `write the audience in the credential configuration as //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, not as ${audience}`
  if (origin.kind === 'aws')
    return `look whether the provider is for this AWS account and role, and whether the clock is right; see: ${describe(audience)}`
  if (origin.kind === 'certificate')
    return `look whether the provider trusts the certificate's authority; see: ${describe(audience)}`
  if (claims === undefined)
    return `what comes from ${origin.name} is no JWT: it has to be a token that the provider's issuer signed; see: ${describe(audience)}`
  if (/connecting to the given credential's issuer/i.test(raw)) return issuerAway(exchange)
  if (/audience/i.test(raw)) return otherAudience(exchange)
  if (/issuer/i.test(raw)) return otherIssuer(exchange)
  if (/signature|jwk|public key|key id/i.test(raw)) return otherKeys(exchange)
  if (/stale|expired/i.test(raw) || isExpired(claims)) return tooOld(exchange)
  if (!isMeantFor(claims, audience)) return otherAudience(exchange)
  if (status === 403)
    return `look at the organization's policies and at VPC Service Controls for sts.googleapis.com${projectOf(audience)}`
  return `compare what the token says (issuer ${claims?.iss ?? 'unknown'}, subject ${claims?.sub ?? 'unknown'}) with: ${describe(audience)}`
}

function isExpired(claims: Claims | undefined): boolean {
  return claims?.exp !== undefined && claims.exp * 1000 < Date.now()
}

/** Providers without audiences of their own expect their name, with or without the scheme. */
function isMeantFor(claims: Claims | undefined, audience: string): boolean {
  const { aud } = claims ?? {}
  return aud === undefined || aud.includes(audience) || aud.includes(`https:${audience}`)
}

function otherAudience({ audience, claims, origin }: Exchange): string {
  const is = claims?.aud === undefined ? 'unknown' : claims.aud.join(', ')
  return `the token's audience is ${is}, the provider expects https:${audience}: set the audience of ${aimOf(origin)} to the latter, or allow the former by gcloud iam workload-identity-pools providers update-oidc --allowed-audiences`
}

/** What has an audience to be set. */
function aimOf({ kind, name }: Origin): string {
  if (kind === 'file') return `the projected volume that is at ${name}`
  if (kind === 'kubelet')
    return "tokenAttributes.serviceAccountTokenAudience in the kubelet's CredentialProviderConfig"
  return `the tokens that ${name} gives`
}

function otherIssuer({ audience, claims }: Exchange): string {
  return `the token's issuer is ${claims?.iss ?? 'unknown'}, and the provider is for another cluster's: set its --issuer-uri, or name the right provider in the configuration; see: ${describe(audience)}`
}

function issuerAway({ audience, claims }: Exchange): string {
  return `Google cannot read ${claims?.iss ?? 'the issuer'}/.well-known/openid-configuration: make it public, or give the cluster's keys to the provider (kubectl get --raw /openid/v1/jwks, then gcloud iam workload-identity-pools providers update-oidc --jwk-json-path); see: ${describe(audience)}`
}

function otherKeys({ audience }: Exchange): string {
  return `the provider knows other keys than the cluster signs with, as after its keys were changed: give it the new ones (kubectl get --raw /openid/v1/jwks, then gcloud iam workload-identity-pools providers update-oidc --jwk-json-path); see: ${describe(audience)}`
}

function tooOld({ claims, origin }: Exchange): string {
  const date = new Date((claims?.exp ?? Number.NaN) * 1000)
  const since = Number.isNaN(date.getTime()) ? '' : ` at ${date.toISOString()}`
  const mend =
    origin.kind === 'file'
      ? `what is at ${origin.name} has to be renewed, as the kubelet does with a projected volume (not with a copy, nor with a subPath)`
      : `${origin.name} has to give a new one`
  return `the subject token expired${since}: ${mend}`
}

function projectOf(audience: string): string {
  const [, project] = /\/projects\/([\w.:-]+)\//.exec(audience) ?? []
  return project === undefined ? '' : ` --project=${project}`
}

function describe(audience: string): string {
  const [, location, pool, provider] =
    /\/locations\/([\w-]+)\/workloadIdentityPools\/([\w.-]+)\/providers\/([\w-]+)$/.exec(
      audience,
    ) ?? []
  if (provider === undefined) return 'gcloud iam workforce-pools providers describe'
  return `gcloud iam workload-identity-pools providers describe ${provider} --workload-identity-pool=${pool} --location=${location}${projectOf(audience)}`
}
