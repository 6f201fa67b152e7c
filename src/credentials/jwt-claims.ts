import { z } from 'zod'

const schema = z.looseObject({
  iss: z.string().optional().catch(undefined),
  sub: z.string().optional().catch(undefined),
  aud: z
    .union([z.string().transform((one) => [one]), z.array(z.string())])
    .optional()
    .catch(undefined),
  exp: z.number().optional().catch(undefined),
})

/** What a token says of itself. Not verified: good for messages, never for decisions. */
export type Claims = {
  readonly iss?: string | undefined
  readonly sub?: string | undefined
  readonly aud?: readonly string[] | undefined
  /** In seconds since 1970. */
  readonly exp?: number | undefined
}

/** Undefined when it is no JWT. */
export function readClaims(token: string): Claims | undefined {
  const [, payload, signature, ...rest] = token.split('.')
  if (payload === undefined || signature === undefined || rest.length > 0) return undefined
  try {
    return schema.parse(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')))
  } catch {
    return undefined
  }
}
