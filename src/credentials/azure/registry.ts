import { z } from 'zod'
import { type AdviceRow, advise } from '../advise.ts'
import type { Access } from '../credential.ts'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { quote } from '../quote.ts'
import { type Route, requestService, type ServiceResponse } from '../request-service.ts'

const tokenSchema = z.looseObject({ refresh_token: z.string().min(1) })
const errorSchema = z.looseObject({
  errors: z.array(z.looseObject({ code: z.string().optional(), message: z.string().optional() })),
})

type Exchange = {
  /** Must be the registry's own: it receives a token of Entra ID. */
  readonly origin: string
  readonly accessToken: string
  readonly tenant: string | undefined
  /** What to change when the registry denies access. */
  readonly advice: string
  readonly route: Route
}

/** Exchanges a token of Entra ID for the registry's refresh token (Azure/acr, docs/AAD-OAuth.md). */
export async function exchangeToken(exchange: Exchange): Promise<string> {
  const { origin, accessToken, tenant, route } = exchange
  const url = new URL('/oauth2/exchange', origin)
  const answer = await requestService({
    url,
    route,
    form: {
      grant_type: 'access_token',
      service: url.host,
      ...(tenant !== undefined && { tenant }),
      access_token: accessToken,
    },
    advice: `allow connections to ${url.host} (egress rules, NetworkPolicy, or its private endpoint), or set HTTPS_PROXY`,
  })
  if (answer.status !== 200) throw rejected(answer, exchange)
  const token = tokenSchema.safeParse(parseJson(answer.body))
  if (token.success) return token.data.refresh_token
  throw new CredentialError(
    `cannot exchange the Entra ID token for a registry token: ${url.origin}${url.pathname} answered without a refresh token`,
  )
}

function rejected({ status, body }: ServiceResponse, exchange: Exchange): CredentialError {
  const { origin, accessToken } = exchange
  const error = errorSchema.safeParse(parseJson(body)).data?.errors[0]
  const text = [error?.code, error?.message].filter(Boolean).join(': ')
  const details = quote(text, [accessToken])
  const isFirewall = /client with ip/i.test(details)
  return new CredentialError(
    `cannot exchange the Entra ID token for a registry token: ${origin}/oauth2/exchange answered ${status}${details && `: ${details}`}`,
    {
      advice: advise(rows, { ...exchange, status, details }),
      denied: (status === 401 || status === 403) && !isFirewall,
    },
  )
}

type Failure = Exchange & {
  readonly status: number
  /** The error message in the response. */
  readonly details: string
}

const rows: readonly AdviceRow<Failure>[] = [
  {
    when: ({ details }) => /client with ip/i.test(details),
    say: ({ origin, details }) =>
      `the registry's network rules block this address. Allow it: az acr network-rule add -n ${registryName(origin)} --ip-address ${/'([\d.a-f:]+)'/i.exec(details)?.[1] ?? 'ADDRESS'}; or create a private endpoint`,
  },
  {
    when: ({ status }) => status === 401 || status === 403,
    say: ({ advice, tenant }) =>
      `${advice}. If it has the role, check that the registry belongs to ${tenant === undefined ? 'the tenant of this identity' : `tenant ${tenant}`}`,
  },
  {
    when: ({ status }) => status === 404,
    say: ({ origin }) =>
      `${origin} is not an Azure Container Registry: use credentials of type azure for https://NAME.azurecr.io only`,
  },
  {
    when: ({ status }) => status === 400,
    say: ({ origin }) =>
      `the registry does not accept this token: run az acr config authentication-as-arm show -r ${registryName(origin)} to see whether it accepts tokens for the Resource Manager`,
  },
  {
    when: () => true,
    say: ({ origin }) =>
      `Berth retries, no change is needed; if the error persists, run az acr check-health -n ${registryName(origin)}`,
  },
]

type AccessAdviceOptions = {
  readonly origin: string
  /** The object or application ID that needs the role. */
  readonly principal: string | undefined
  readonly repository: string
  readonly access?: Access | undefined
}

/**
 * Roles for a whole registry, and for one with attribute-based access control, where the former have
 * no effect.
 */
const roles = {
  pull: ['AcrPull', 'Container Registry Repository Reader'],
  push: ['AcrPush', 'Container Registry Repository Writer'],
  delete: ['AcrDelete', 'Container Registry Repository Contributor'],
} as const satisfies Record<Access, readonly [role: string, abacRole: string]>

/** The commands of `az`. */
export function accessAdvice({
  origin,
  principal = 'PRINCIPAL',
  repository,
  access = 'pull',
}: AccessAdviceOptions): string {
  const name = registryName(origin)
  const [role, abacRole] = roles[access]
  const verb = access === 'delete' ? 'delete from' : access
  const purpose = repository === '' ? '' : ` to ${verb} ${repository}`
  const assign = (role: string) =>
    `az role assignment create --assignee ${principal} --role ${role} --scope $(az acr show -n ${name} --query id -o tsv)`
  return `grant ${principal} the role ${role} on registry ${name}${purpose}: ${assign(role)}; in a registry in mode "RBAC Registry + ABAC Repository Permissions", where ${role} has no effect: ${assign(`"${abacRole}"`)}; it takes effect after some minutes`
}

/** The name for `az acr -n`: the first label of the host name, without the hash after a hyphen. */
function registryName(origin: string): string {
  const { hostname } = new URL(origin)
  const [name = hostname] = hostname.split(/[.-]/, 1)
  return /\.azurecr\.(io|cn|us)$/.test(hostname) ? name : 'NAME'
}
