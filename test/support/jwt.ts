import {
  createPublicKey,
  createSign,
  createVerify,
  generateKeyPairSync,
  type JsonWebKey,
} from 'node:crypto'

export type Claims = Readonly<Record<string, unknown>>

/** Whoever signs tokens. */
export interface Signer {
  /** The public key, as a JWKS lists it. */
  readonly jwk: JsonWebKey & { readonly kid: string }
  /** A token with these claims, issued now. `seconds`: its lifetime. */
  sign(claims: Claims, seconds: number): string
}

export function createSigner(): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const kid = 'test'
  return {
    jwk: { ...publicKey.export({ format: 'jwk' }), kid },
    sign: (claims, seconds) => {
      const now = Math.floor(Date.now() / 1000)
      const header = { alg: 'RS256', typ: 'JWT', kid }
      const payload = { iat: now, nbf: now, exp: now + seconds, ...claims }
      const signed = `${encode(header)}.${encode(payload)}`
      return `${signed}.${createSign('RSA-SHA256').update(signed).sign(privateKey, 'base64url')}`
    },
  }
}

/** The claims, without verification of signature and expiry. */
export function decode(token: string): Claims {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Claims
  } catch {
    return {}
  }
}

/** Whether one of these keys signed it. */
export function isSignedBy(token: string, keys: readonly JsonWebKey[]): boolean {
  const [header = '', payload = '', signature = ''] = token.split('.')
  return keys.some((key) =>
    createVerify('RSA-SHA256')
      .update(`${header}.${payload}`)
      .verify(createPublicKey({ key, format: 'jwk' }), signature, 'base64url'),
  )
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
