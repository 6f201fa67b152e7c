import { z } from 'zod'

/** What is looked at in a token of whoever's. What is of another type is as good as missing. */
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
  /** Entra's: tenant, object, and application, as its first and its second version name it. */
  tid: z.string().optional().catch(undefined),
  oid: z.string().optional().catch(undefined),
  appid: z.string().optional().catch(undefined),
  azp: z.string().optional().catch(undefined),
})

export type Claims = z.infer<typeof claimsSchema>

/**
 * The claims of a JWT, unverified: good for messages, and for how long it lives, never for decisions.
 * Undefined for other texts.
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
