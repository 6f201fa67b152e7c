import { z } from 'zod'
import { redact } from '../../telemetry/telemetry.ts'
import { parseJson } from '../parse-json.ts'

/** A failed request to one of Google's services. */
export type FailedRequest = {
  readonly url: string
  readonly host: string
  /** Undefined: there was no response. */
  readonly status: number | undefined
  /** `invalid_grant`, `PERMISSION_DENIED`, `ECONNREFUSED`; empty when there is none. */
  readonly code: string
  /** Of an ErrorInfo in the details (AIP-193): `IAM_PERMISSION_DENIED`, `SERVICE_DISABLED`. */
  readonly reason: string | undefined
  /** The service's error message without secrets. */
  readonly message: string
  /** The service's error message as received: for matching only, never for people. */
  readonly raw: string
}

/** Of a service's error message, in characters. */
const maxMessageLength = 400

const text = z.string().catch('')
const oauthSchema = z.looseObject({ error: z.string(), error_description: text })
const googleSchema = z.looseObject({
  error: z.looseObject({
    message: text,
    status: text,
    details: z.array(z.looseObject({ reason: z.string().optional() })).catch([]),
  }),
})
const errorSchema = z.looseObject({
  message: text,
  code: z.union([z.string(), z.number()]).optional().catch(undefined),
  config: z.looseObject({ url: z.union([z.string(), z.instanceof(URL)]) }),
  response: z.looseObject({ status: z.number(), data: z.unknown() }).optional().catch(undefined),
})

/**
 * Reads an error of the library. `secrets` were part of the request, and the response may repeat them.
 * Undefined when the error does not come from a request.
 */
export function readFailedRequest(
  thrown: unknown,
  secrets: readonly string[],
): FailedRequest | undefined {
  const { data: error } = errorSchema.safeParse(thrown)
  if (error === undefined) return undefined
  const { config, response } = error
  const url = String(config.url)
  const target = { url, host: URL.parse(url)?.host ?? url }
  const failure =
    response === undefined
      ? { code: String(error.code ?? ''), reason: undefined, raw: error.message }
      : readResponse(response.data)
  const message = withoutSecrets(failure.raw, secrets)
  return { ...target, status: response?.status, ...failure, message }
}

/** An error message of the library or of Google that people may see. */
export function withoutSecrets(message: string, secrets: readonly string[]): string {
  const known = secrets.filter(Boolean)
  return redact(known.reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), message))
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, maxMessageLength)
}

function readResponse(data: unknown): Pick<FailedRequest, 'code' | 'reason' | 'raw'> {
  const content = typeof data === 'string' ? parseJson(data) : data
  const oauth = oauthSchema.safeParse(content).data
  if (oauth !== undefined)
    return { code: oauth.error, reason: undefined, raw: oauth.error_description }
  const google = googleSchema.safeParse(content).data?.error
  if (google !== undefined) {
    const reason = google.details.find((detail) => detail.reason !== undefined)?.reason
    return { code: google.status, reason, raw: google.message }
  }
  // A text may state the reason. An HTML page, or JSON of another service, would not help.
  const raw = typeof data === 'string' && !/^\s*[<{[]/.test(data) ? data : ''
  return { code: '', reason: undefined, raw }
}

/** One sentence: what was attempted, on which host, and what happened. */
export function describeFailure(
  attempted: string,
  { host, status, code, message }: FailedRequest,
): string {
  const details = [code, message].filter(Boolean).join(': ')
  if (code === 'AbortError') return `cannot ${attempted}: ${host} did not answer in time`
  if (status === undefined) return `cannot ${attempted}: cannot reach ${host}: ${details}`
  return `cannot ${attempted}: ${host} answered ${status}${details && ` ${details}`}`
}
