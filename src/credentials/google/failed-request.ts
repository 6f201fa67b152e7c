import { z } from 'zod'
import { redact } from '../../telemetry/telemetry.ts'
import { parseJson } from '../parse-json.ts'

/** What came of one request to one of Google's services, as that service put it. */
export type Refusal = {
  readonly url: string
  readonly host: string
  /** Undefined: there was no answer. */
  readonly status: number | undefined
  /** `invalid_grant`, `PERMISSION_DENIED`, `ECONNREFUSED`; empty when there is none. */
  readonly code: string
  /** The reason in machine's words: `IAM_PERMISSION_DENIED`, `SERVICE_DISABLED`. */
  readonly detail: string | undefined
  /** In its own words, without secrets and what looks like some. */
  readonly words: string
  /** The same as it came: to be judged by, and never shown. */
  readonly raw: string
}

/** How much of a service's own words is passed on, in characters. */
const mostWords = 400

const text = z.string().catch('')
const oauthSchema = z.looseObject({ error: z.string(), error_description: text })
const googleSchema = z.looseObject({
  error: z.looseObject({
    message: text,
    status: text,
    details: z.array(z.looseObject({ reason: z.string().optional() })).catch([]),
  }),
})
const failureSchema = z.looseObject({
  message: text,
  code: z.union([z.string(), z.number()]).optional().catch(undefined),
  config: z.looseObject({ url: z.union([z.string(), z.instanceof(URL)]) }),
  response: z.looseObject({ status: z.number(), data: z.unknown() }).optional().catch(undefined),
})

/**
 * Reads an error of the library's. `secrets` were sent, and so may come back in what was answered.
 * Undefined when the error is of something else than a request.
 */
export function readRefusal(error: unknown, secrets: readonly string[]): Refusal | undefined {
  const { data: failure } = failureSchema.safeParse(error)
  if (failure === undefined) return undefined
  const { config, response } = failure
  const url = String(config.url)
  const hide = (words: string) => withoutSecrets(words, secrets)
  const about = { url, host: URL.parse(url)?.host ?? url }
  if (response === undefined) {
    const code = String(failure.code ?? '')
    const raw = failure.message
    return { ...about, status: undefined, code, detail: undefined, words: hide(raw), raw }
  }
  const said = readAnswer(response.data)
  return { ...about, status: response.status, ...said, words: hide(said.raw) }
}

/** A text of the library's or of Google's, as it may be shown. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  const known = secrets.filter(Boolean)
  return redact(known.reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text))
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, mostWords)
}

function readAnswer(data: unknown): Pick<Refusal, 'code' | 'detail' | 'raw'> {
  const content = typeof data === 'string' ? parseJson(data) : data
  const oauth = oauthSchema.safeParse(content).data
  if (oauth !== undefined)
    return { code: oauth.error, detail: undefined, raw: oauth.error_description }
  const google = googleSchema.safeParse(content).data?.error
  if (google !== undefined) {
    const detail = google.details.find(({ reason }) => reason !== undefined)?.reason
    return { code: google.status, detail, raw: google.message }
  }
  // Plain text says something; a page, or JSON of another make, is for other readers.
  const raw = typeof data === 'string' && !/^\s*[<{[]/.test(data) ? data : ''
  return { code: '', detail: undefined, raw }
}

/** What was attempted, and what came of it, in a sentence. */
export function tell(attempted: string, { host, status, code, words }: Refusal): string {
  const said = [code, words].filter(Boolean).join(': ')
  if (code === 'AbortError') return `${host} gave no answer in time when asked to ${attempted}`
  if (status === undefined) return `cannot reach ${host} to ${attempted}: ${said}`
  return `${host} answered ${status}${said && ` ${said}`} when asked to ${attempted}`
}

const nameCodes = new Set(['ENOTFOUND', 'EAI_AGAIN'])

/** What to change when the trouble is the way there, or Google itself; undefined: neither. */
export function adviceOnTheWay({ host, status, code, raw }: Refusal): string | undefined {
  if (status !== undefined && status >= 300 && status < 400)
    return `${host} leads elsewhere, where no token is sent: correct its URL in the credential configuration, or look whether a proxy, or a page that wants a login, stands in between`
  if (status === 407 || /forward proxy answered 407/.test(raw))
    return `the proxy that HTTPS_PROXY names wants a user name and password`
  if (status === 429) return `${host} wants fewer requests for now; it is tried again by itself`
  if (status !== undefined && status >= 500)
    return `that is a failure of its own (status.cloud.google.com tells of Google's); it is tried again by itself`
  if (status !== undefined) return undefined
  const name = host.replace(/:\d+$/, '')
  if (nameCodes.has(code))
    return `the name ${name} does not resolve here: look at the cluster's DNS, or, where a proxy is the only way out, set HTTPS_PROXY`
  if (/CERT|SIGNATURE|TLS|SSL|SELF_SIGNED/.test(code))
    return `its certificate is of nobody that this process trusts: if a proxy opens TLS here, name its authority in SSL_CERT_FILE, NODE_EXTRA_CA_CERTS or the upstream's certificateAuthorities`
  return `let Berth out to ${host} (network policies, firewalls), or set HTTPS_PROXY`
}
