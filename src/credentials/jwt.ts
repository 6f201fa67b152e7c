import { z } from 'zod'

/** Of tokens of any issuer: a claim of another type counts as missing. */
const claimsSchema = z.looseObject({
  iss: z.string().optional().catch(undefined),
  sub: z.string().optional().catch(undefined),
  aud: z
    .union([z.string().transform((one) => [one]), z.array(z.string())])
    .optional()
    .catch(undefined),
  /** In seconds since 1970. */
  exp: z.number().optional().catch(undefined),
  iat: z.number().optional().catch(undefined),
  /** Of Entra ID: tenant, object, and application in token version 1 and 2. */
  tid: z.string().optional().catch(undefined),
  oid: z.string().optional().catch(undefined),
  appid: z.string().optional().catch(undefined),
  azp: z.string().optional().catch(undefined),
})

export type Claims = z.infer<typeof claimsSchema>

/**
 * The unverified claims of a JWT: for messages and lifetimes, never for access decisions. Undefined for
 * other texts.
 */
export function readClaims(token: string): Claims | undefined {
  const [, payload = '', signature, ...rest] = token.split('.')
  if (signature === undefined || rest.length > 0) return undefined
  try {
    return claimsSchema.parse(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')))
  } catch {
    return undefined
  }
}
