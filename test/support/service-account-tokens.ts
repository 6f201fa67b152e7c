import { createSign, createVerify, generateKeyPairSync } from 'node:crypto'

type Claims = Readonly<Record<string, unknown>>

/** A cluster that signs its pods' tokens, and whoever knows its public key. */
export interface TokenIssuer {
  readonly issuer: string
  /** A token that is good for an hour unless the claims say otherwise. */
  sign(claims: Claims): string
  /** What a token says, if this issuer signed it. */
  verify(token: string): Claims | undefined
}

export function createTokenIssuer(issuer: string): TokenIssuer {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return {
    issuer,
    sign: (claims) => {
      const exp = Math.floor(Date.now() / 1000) + 3600
      const signed = `${encode({ alg: 'RS256', kid: 'test' })}.${encode({ iss: issuer, exp, ...claims })}`
      return `${signed}.${createSign('RSA-SHA256').update(signed).sign(privateKey, 'base64url')}`
    },
    verify: (token) => {
      const [header = '', payload = '', signature = ''] = token.split('.')
      const verifier = createVerify('RSA-SHA256').update(`${header}.${payload}`)
      if (!verifier.verify(publicKey, signature, 'base64url')) return undefined
      return JSON.parse(Buffer.from(payload, 'base64url').toString()) as Claims
    },
  }
}
