import { z } from 'zod'
import type { Answer } from './transport.ts'

const schema = z.looseObject({ errors: z.array(z.looseObject({ code: z.string() })).min(1) })

/**
 * Codes that registries use for a missing object or a refusal, including codes outside the
 * specification.
 */
const registryCodes =
  /^(?:[A-Z_]*UNKNOWN|[A-Z_]*NOT_?FOUND|DENIED|FORBIDDEN|UNAUTHORIZED|UNSUPPORTED|NAME_INVALID|TAG_INVALID)$/

/**
 * Whether a registry wrote a 401, 403 or 404, and not something in front of it: an ingress without
 * a backend, a proxy, a login page. Registries are recognised by a header of their own, or by an
 * error body as in the specification.
 */
export function isFromRegistry(
  { status, header }: Pick<Answer, 'status' | 'header'>,
  body: Buffer,
) {
  if (header('docker-distribution-api-version') !== undefined) return true
  if (status === 401 && header('www-authenticate') !== undefined) return true
  return codesIn(body).some((code) => registryCodes.test(code))
}

/** Whether a body is markup: no registry answers with it, but a login page or a proxy does, with 200 as well. */
export function isPage(body: Buffer): boolean {
  return /^\s*</.test(body.subarray(0, 100).toString('latin1'))
}

/** The error codes in a body (distribution-spec, "Error Codes"), or none. */
export function codesIn(body: Buffer): readonly string[] {
  try {
    return schema.parse(JSON.parse(body.toString('utf8'))).errors.map(({ code }) => code)
  } catch {
    return []
  }
}
