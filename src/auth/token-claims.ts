import { decodeJwt } from 'jose'
import { z } from 'zod'
import type { Rejection } from './access.ts'
import { parseServiceAccount, type ServiceAccount } from './service-account.ts'

/** In seconds, as in the API server (go-jose, DefaultLeeway). */
export const clockTolerance = 60

/** In characters, of what a reason repeats. */
const maxQuoted = 200

/** What a token claims; true only if its signature is verified, or the API server has confirmed it. */
export type TokenClaims = {
  readonly kind: 'claims'
  readonly account: ServiceAccount
  readonly issuer: string
  /** In milliseconds since 1970. */
  readonly expires: number
}

type Expected = {
  readonly audiences: readonly string[]
  /** In milliseconds since 1970. */
  readonly now: number
}

/** The claims of tokens from TokenRequest (pkg/serviceaccount/claims.go). Others are not needed. */
const schema = z.object({
  iss: z.string().min(1),
  sub: z.string(),
  aud: z.union([z.string().transform((one) => [one]), z.array(z.string())]),
  exp: z.number(),
  nbf: z.number().optional(),
  'kubernetes.io': z.object({
    namespace: z.string(),
    serviceaccount: z.object({ name: z.string() }),
  }),
})

/**
 * Reads the claims, and rejects a token that cannot be valid, before its signature costs anything. Tokens
 * from Secrets, which never expire and have no audience, are rejected.
 */
export function readClaims(token: string, { audiences, now }: Expected): TokenClaims | Rejection {
  const parsed = schema.safeParse(decode(token))
  if (!parsed.success)
    return rejected('is not a token of a Kubernetes service account with audience and expiry')
  const { iss, sub, aud, exp, nbf = 0, 'kubernetes.io': kubernetes } = parsed.data
  const account = parseServiceAccount(sub)
  const { namespace, serviceaccount } = kubernetes
  if (account?.name !== `system:serviceaccount:${namespace}:${serviceaccount.name}`)
    return rejected('has a subject that is not its service account')
  if (!aud.some((one) => audiences.includes(one)))
    return rejected(
      `is for the audience ${quote(aud.join(', '))}, not for ${audiences.join(' or ')}`,
    )
  const seconds = now / 1000
  if (seconds >= exp + clockTolerance) return rejected('is expired')
  if (seconds < nbf - clockTolerance) return rejected('is not valid yet')
  return { kind: 'claims', account, issuer: iss, expires: (exp + clockTolerance) * 1000 }
}

export function rejected(reason: string): Rejection {
  return { kind: 'rejected', reason: `the service account token ${reason}` }
}

export function quote(text: string): string {
  return JSON.stringify(text.slice(0, maxQuoted))
}

function decode(token: string): unknown {
  try {
    return decodeJwt(token)
  } catch {
    return undefined
  }
}
