import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { quote } from '../quote.ts'
import { askService, type Route, type ServiceAnswer } from '../request-service.ts'

const tokenSchema = z.looseObject({ refresh_token: z.string().min(1) })
const errorSchema = z.looseObject({
  errors: z.array(z.looseObject({ code: z.string().optional(), message: z.string().optional() })),
})

type Exchange = {
  /** The registry's own, and no other: it gets a token of Entra's. */
  readonly origin: string
  readonly accessToken: string
  readonly tenant: string | undefined
  /** What to change when it refuses. */
  readonly advice: string
  readonly route: Route
}

/** The registry's refresh token for one of Entra's (Azure/acr, docs/AAD-OAuth.md). */
export async function exchangeToken(exchange: Exchange): Promise<string> {
  const { origin, accessToken, tenant, route } = exchange
  const url = new URL('/oauth2/exchange', origin)
  const answer = await askService({
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
  if (answer.status !== 200) throw refused(answer, exchange)
  const token = tokenSchema.safeParse(parseJson(answer.body))
  if (token.success) return token.data.refresh_token
  throw new CredentialError(`${url.origin}${url.pathname} answered without a refresh token`)
}

function refused({ status, body }: ServiceAnswer, exchange: Exchange): CredentialError {
  const { origin, accessToken, tenant, advice } = exchange
  const told = errorSchema.safeParse(parseJson(body)).data?.errors[0]
  const words = quote([told?.code, told?.message].filter(Boolean).join(': '), [accessToken])
  const message = `${origin}/oauth2/exchange answered ${status} to a token of Entra's${words && `: ${words}`}`
  const isFirewall = /client with ip/i.test(words)
  if (isFirewall) {
    const advice = `the registry's network rules keep Berth out: az acr network-rule add -n ${registryName(origin)} --ip-address ${/'([\d.a-f:]+)'/i.exec(words)?.[1] ?? 'ADDRESS'}, or give it a private endpoint`
    return new CredentialError(message, { advice })
  }
  if (status === 401 || status === 403) {
    const where = tenant === undefined ? "this identity's tenant" : `tenant ${tenant}`
    return new CredentialError(message, {
      advice: `${advice}. If it has the role: is the registry in ${where}?`,
      denied: true,
    })
  }
  return new CredentialError(message, { advice: adviceFor(status, origin) })
}

function adviceFor(status: number, origin: string): string {
  if (status === 404)
    return `${origin} is no Azure Container Registry: credentials of type azure are for those, as https://NAME.azurecr.io`
  if (status === 400)
    return 'the registry does not take this token: az acr config authentication-as-arm show tells whether it takes tokens of the Resource Manager'
  return `this passes by itself; if not: az acr check-health -n ${registryName(origin)}`
}

type PullAdvice = {
  readonly origin: string
  /** The object or application id of who is to get the role. */
  readonly principal: string | undefined
  readonly repository: string
}

/** In the words of `az`. AcrPull does not count in registries whose roles have conditions. */
export function pullAdvice({ origin, principal = 'PRINCIPAL', repository }: PullAdvice): string {
  const name = registryName(origin)
  const what = repository === '' ? '' : ` to pull ${repository}`
  const assign = (role: string) =>
    `az role assignment create --assignee ${principal} --role ${role} --scope $(az acr show -n ${name} --query id -o tsv)`
  return `give ${principal} role AcrPull on registry ${name}${what}: ${assign('AcrPull')}; in a registry in mode "RBAC Registry + ABAC Repository Permissions", where AcrPull does not count: ${assign('"Container Registry Repository Reader"')}; it counts after some minutes`
}

/** What `az acr -n` wants: the host's first label, without the hash that a hyphen puts behind it. */
function registryName(origin: string): string {
  const { hostname } = new URL(origin)
  const [name = hostname] = hostname.split(/[.-]/, 1)
  return /\.azurecr\.(io|cn|us)$/.test(hostname) ? name : 'NAME'
}
