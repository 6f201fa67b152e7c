import { type AdviceRow, advise } from '../advise.ts'
import type { Claims } from '../jwt.ts'
import type { FailedRequest } from './failed-request.ts'
import type { Origin } from './subject-token.ts'

type Exchange = {
  /** The provider that the configuration names. */
  readonly audience: string
  readonly claims: Claims | undefined
  readonly origin: Origin
}

type Failure = FailedRequest & Exchange

const rows: readonly AdviceRow<Failure>[] = [
  {
    when: ({ status, reason, raw }) =>
      reason === 'SERVICE_DISABLED' || (status === 403 && /disabled|not been used/.test(raw)),
    say: ({ audience }) =>
      `enable the API: gcloud services enable sts.googleapis.com${projectOption(audience)}`,
  },
  {
    when: ({ code }) => code === 'invalid_target',
    say: ({ audience }) =>
      `check that the workload identity pool and its provider exist and are enabled: ${providerCommand('describe', audience)}`,
  },
  {
    when: ({ raw }) => /attribute condition/i.test(raw),
    say: ({ audience, claims }) =>
      `the provider's attribute condition rejects the subject ${claims?.sub ?? 'of this token'}: change the condition, or use another service account. ${showProvider(audience)}`,
  },
  {
    when: ({ code, raw }) => code === 'invalid_request' && /audience/i.test(raw),
    say: ({ audience }) =>
      `set the audience in the credential configuration to //iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER; it is ${audience}`,
  },
  {
    when: ({ origin }) => origin.kind === 'aws',
    say: ({ audience }) =>
      `check that the provider accepts this AWS account and role, and that the clock of this machine is right. ${showProvider(audience)}`,
  },
  {
    when: ({ origin }) => origin.kind === 'certificate',
    say: ({ audience }) =>
      `check that the provider trusts the authority of the client certificate. ${showProvider(audience)}`,
  },
  {
    when: ({ claims }) => claims === undefined,
    say: ({ audience, origin }) =>
      `the subject token from ${origin.name} is not a JWT: it must be a token that the provider's issuer signed. ${showProvider(audience)}`,
  },
  {
    when: ({ raw }) => /connecting to the given credential's issuer/i.test(raw),
    say: ({ audience, claims }) =>
      `Google cannot read ${claims?.iss ?? 'ISSUER'}/.well-known/openid-configuration: make that URL public, or upload the cluster's keys to the provider: ${uploadKeys(audience)}`,
  },
  { when: ({ raw }) => /audience/i.test(raw), say: wrongAudience },
  {
    when: ({ raw }) => /issuer/i.test(raw),
    say: ({ audience, claims }) =>
      `the issuer of the subject token is ${claims?.iss ?? 'missing'}, but the provider accepts another one: change it (${providerCommand('update-oidc', audience)} --issuer-uri=${claims?.iss ?? 'ISSUER'}), or name the right provider in the credential configuration. ${showProvider(audience)}`,
  },
  {
    when: ({ raw }) => /signature|jwk|public key|key id/i.test(raw),
    say: ({ audience }) =>
      `the provider does not know the key that signed the subject token; the cluster may have rotated its keys. Upload the new ones: ${uploadKeys(audience)}`,
  },
  { when: ({ claims, raw }) => /stale|expired/i.test(raw) || isExpired(claims), say: expired },
  { when: ({ claims, audience }) => !isMeantFor(claims, audience), say: wrongAudience },
  {
    when: ({ status }) => status === 403,
    say: ({ audience }) =>
      `check the organization's policies and VPC Service Controls for sts.googleapis.com${projectOption(audience)}`,
  },
  {
    when: () => true,
    say: ({ audience, claims }) =>
      `compare the subject token (issuer ${claims?.iss ?? 'missing'}, subject ${claims?.sub ?? 'missing'}) with the provider: ${providerCommand('describe', audience)}`,
  },
]

/** What to change when the security token service rejects the subject token. */
export function adviseOnSubjectToken(
  request: FailedRequest,
  { audience, claims, origin }: Exchange,
): string | undefined {
  return advise(rows, { ...request, audience, claims, origin })
}

function isExpired(claims: Claims | undefined): boolean {
  return claims?.exp !== undefined && claims.exp * 1000 < Date.now()
}

/** A provider without `allowedAudiences` accepts its own name, with or without the scheme. */
function isMeantFor(claims: Claims | undefined, audience: string): boolean {
  const { aud } = claims ?? {}
  return aud === undefined || aud.includes(audience) || aud.includes(`https:${audience}`)
}

function wrongAudience({ audience, claims, origin }: Exchange): string {
  const actual = claims?.aud === undefined ? 'missing' : claims.aud.join(', ')
  return `the audience of the subject token is ${actual}, but the provider expects https:${audience}: set the audience of ${audienceSettingOf(origin)} to https:${audience}, or allow the other one: ${providerCommand('update-oidc', audience)} --allowed-audiences=AUDIENCE`
}

/** The thing whose audience can be configured. */
function audienceSettingOf({ kind, name }: Origin): string {
  if (kind === 'file') return `the projected volume at ${name}`
  if (kind === 'kubelet')
    return "tokenAttributes.serviceAccountTokenAudience in the kubelet's CredentialProviderConfig"
  return `the tokens from ${name}`
}

function expired({ claims, origin }: Exchange): string {
  const date = new Date((claims?.exp ?? Number.NaN) * 1000)
  const since = Number.isNaN(date.getTime()) ? '' : ` at ${date.toISOString()}`
  const renewal =
    origin.kind === 'file'
      ? `the file ${origin.name} must be renewed: the kubelet renews a projected volume, but neither a copy nor a subPath mount`
      : `${origin.name} must provide a new one`
  return `the subject token expired${since}: ${renewal}`
}

function showProvider(audience: string): string {
  return `To see the provider, run: ${providerCommand('describe', audience)}`
}

function uploadKeys(audience: string): string {
  return `kubectl get --raw /openid/v1/jwks > jwks.json; ${providerCommand('update-oidc', audience)} --jwk-json-path=jwks.json`
}

function projectOption(audience: string): string {
  const [, project] = /\/projects\/([\w.:-]+)\//.exec(audience) ?? []
  return project === undefined ? '' : ` --project=${project}`
}

function providerCommand(verb: 'describe' | 'update-oidc', audience: string): string {
  const [, location, pool, provider] =
    /\/locations\/([\w-]+)\/workloadIdentityPools\/([\w.-]+)\/providers\/([\w-]+)$/.exec(
      audience,
    ) ?? []
  if (provider === undefined) return `gcloud iam workforce-pools providers ${verb}`
  return `gcloud iam workload-identity-pools providers ${verb} ${provider} --workload-identity-pool=${pool} --location=${location}${projectOption(audience)}`
}
