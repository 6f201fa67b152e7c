import type { AdviceRow } from '../advise.ts'
import { readClaims } from '../jwt.ts'

/** A request that Entra rejected. */
export type EntraFailure = {
  readonly status: number
  /** https://aka.ms/AADSTS-codes, without the prefix; empty: the answer has none. */
  readonly code: string
  readonly tenantId: string
  readonly clientId: string
  /** The file or variable that contains the proof. */
  readonly source: string
  /** The service account's token, if that is the proof. */
  readonly assertion: string | undefined
}

const codeIs =
  (...codes: readonly string[]) =>
  ({ code }: EntraFailure) =>
    codes.includes(code)

export const entraRows: readonly AdviceRow<EntraFailure>[] = [
  {
    when: ({ status }) => status >= 500 || status === 429,
    say: 'Entra ID is temporarily unavailable (see https://azure.status.microsoft); Berth retries, no change is needed',
  },
  {
    when: ({ code, assertion }) => assertion !== undefined && /^(70021\d*|70025)$/.test(code),
    say: federatedCredential,
  },
  {
    when: codeIs('700016'),
    say: ({ tenantId, clientId }) =>
      `tenant ${tenantId} has no application ${clientId}: compare clientId with az ad app list --filter "appId eq '${clientId}'" (for a managed identity: az identity show --query clientId), and tenantId with az account show --query tenantId`,
  },
  {
    when: codeIs('90002', '900023'),
    say: ({ tenantId }) =>
      `there is no tenant ${tenantId} in this cloud: compare tenantId with az account show --query tenantId, and authorityHost with the cloud`,
  },
  {
    when: codeIs('7000215'),
    say: ({ source, clientId }) =>
      `${source} does not contain a secret of application ${clientId}; use the value of the secret, not its ID. Create a new secret: az ad app credential reset --id ${clientId} --append`,
  },
  {
    when: codeIs('7000222'),
    say: ({ source, clientId }) =>
      `the secret in ${source} has expired. Create a new one: az ad app credential reset --id ${clientId} --append; or use workload identity, which needs no secret`,
  },
  {
    when: codeIs('700024'),
    say: ({ source }) =>
      `the token in ${source} has expired, or the clock of this machine is wrong: mount a projected volume, which the kubelet renews, not a copy`,
  },
  {
    when: codeIs('7000112'),
    say: ({ clientId }) =>
      `application ${clientId} is disabled. Enable its service principal: az ad sp update --id ${clientId} --set accountEnabled=true`,
  },
  {
    when: codeIs('53003'),
    say: ({ tenantId, clientId }) =>
      `a conditional access policy of tenant ${tenantId} blocks the login: exclude application ${clientId}, or this network, from the policy`,
  },
  {
    when: codeIs(''),
    say: 'the answer may not come from Entra ID: check whether a proxy or a login page intercepts the request',
  },
  {
    when: () => true,
    // Not the URL of that code: codes are in the query, and queries are redacted.
    say: ({ code }) => `look up AADSTS${code} at https://login.microsoftonline.com/error`,
  },
]

function federatedCredential({ clientId, assertion = '' }: EntraFailure): string {
  const { iss: issuer = '?', sub: subject = '?', aud = ['?'] } = readClaims(assertion) ?? {}
  const audience = aud.join(' ')
  const parameters = JSON.stringify({ name: 'berth', issuer, subject, audiences: [audience] })
  return `add a federated credential to ${clientId} for the issuer ${issuer}, the subject ${subject} and the audience ${audience} (normally api://AzureADTokenExchange). For a managed identity: az identity federated-credential create --name berth --identity-name IDENTITY --resource-group GROUP --issuer ${issuer} --subject ${subject} --audiences ${audience}. For an application: az ad app federated-credential create --id ${clientId} --parameters '${parameters}'. It takes effect after about a minute`
}
