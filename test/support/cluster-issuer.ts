import {
  createPublicKey,
  createSign,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyPairKeyObjectResult,
  verify,
} from 'node:crypto'
import { answerJson, type FakeServer, startFakeServer } from './fake-server.ts'

/** The claims of a service account token that tests may want otherwise. */
type Claims = {
  readonly iss: string
  readonly aud: string | readonly string[]
  readonly sub: string
  /** In seconds since 1970. */
  readonly exp: number
  readonly iat: number
}

/** A cluster's API server as the issuer of its pods' tokens: OIDC discovery, and signing. */
export interface ClusterIssuer extends Pick<FakeServer, 'url' | 'requests' | 'stop' | 'start'> {
  sign(claims: Partial<Claims> & Pick<Claims, 'aud' | 'sub'>): string
  /** The public key that it shows. */
  jwk(): JsonWebKey & { readonly kid: string }
  /** Signs with another key from now on. `announce`: the old one is forgotten, the new one shown. */
  rotate(options?: { readonly announce: boolean }): void
}

type Algorithm = 'RS256' | 'ES256'
type Pair = KeyPairKeyObjectResult
type Key = ReturnType<typeof keyOf>

export async function startClusterIssuer(algorithm: Algorithm = 'RS256'): Promise<ClusterIssuer> {
  let key = keyOf(pairOfProcess(algorithm), algorithm, 'first')
  let shown = key
  const server = await startFakeServer(({ path, headers }, response) => {
    if (path === '/.well-known/openid-configuration')
      return answerJson(response, 200, {
        issuer: server.url,
        jwks_uri: `${server.url}/openid/v1/jwks`,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: [algorithm],
      })
    // As the API server: others than this media type, and any, are 406.
    const { accept = '*/*' } = headers
    if (path === '/openid/v1/jwks' && !/jwk-set\+json|\*\/\*/.test(accept))
      return answerJson(response, 406, { kind: 'Status', status: 'Failure', code: 406 })
    if (path === '/openid/v1/jwks') return answerJson(response, 200, { keys: [shown.jwk] })
    answerJson(response, 404, { kind: 'Status', status: 'Failure', code: 404 })
  })

  return {
    ...server,
    sign: (claims) => {
      const now = Math.floor(Date.now() / 1000)
      const all = { iss: server.url, iat: now, exp: now + 3600, ...claims }
      const signed = `${encode({ alg: algorithm, kid: key.jwk.kid })}.${encode(all)}`
      return `${signed}.${key.sign(signed)}`
    },
    jwk: () => shown.jwk,
    rotate: ({ announce } = { announce: true }) => {
      key = keyOf(createPair(algorithm), algorithm, `after ${key.jwk.kid}`)
      if (announce) shown = key
    },
  }
}

const pairs = new Map<Algorithm, Pair>()

/** The first key of every issuer of a process: an RSA key takes a tenth of a second to make. */
export function pairOfProcess(algorithm: Algorithm): Pair {
  const pair = pairs.get(algorithm) ?? createPair(algorithm)
  pairs.set(algorithm, pair)
  return pair
}

function createPair(algorithm: Algorithm): Pair {
  return algorithm === 'RS256'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ec', { namedCurve: 'P-256' })
}

function keyOf({ publicKey, privateKey }: Pair, algorithm: Algorithm, kid: string) {
  return {
    jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: algorithm, use: 'sig' },
    sign: (text: string): string =>
      createSign('sha256')
        .update(text)
        .sign({ key: privateKey, dsaEncoding: 'ieee-p1363' })
        .toString('base64url'),
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/** Header and claims of a JWT, unverified; undefined when it is none. */
export function parseJwt(
  token: string,
):
  | { header: { alg?: string; kid?: string }; claims: Partial<Claims> & { scope?: string } }
  | undefined {
  try {
    const [header = '', claims = ''] = token.split('.')
    const parse = (part: string) => JSON.parse(Buffer.from(part, 'base64url').toString())
    return { header: parse(header), claims: parse(claims) }
  } catch {
    return undefined
  }
}

/** Whether the key signed it, by the algorithm that the key is for. */
export function isSignedBy(token: string, jwk: Key['jwk']): boolean {
  const [header, payload, signature = ''] = token.split('.')
  if (parseJwt(token)?.header.alg !== jwk.alg) return false
  const key = createPublicKey({ key: jwk, format: 'jwk' })
  const signed = Buffer.from(`${header}.${payload}`)
  const how = { key, dsaEncoding: 'ieee-p1363' } as const
  return verify('sha256', signed, how, Buffer.from(signature, 'base64url'))
}

/** Verifies a token as clients of an issuer do: discovery, then the key of the token. */
export async function isSignedByIssuer(
  token: string,
  issuer: string,
): Promise<boolean | 'unreachable'> {
  try {
    const { jwks_uri } = await read(`${issuer}/.well-known/openid-configuration`)
    const { keys } = await read(String(jwks_uri))
    const kid = parseJwt(token)?.header.kid
    const jwk = (keys as readonly Key['jwk'][]).find((one) => one.kid === kid)
    return jwk !== undefined && isSignedBy(token, jwk)
  } catch {
    return 'unreachable'
  }
}

async function read(url: string): Promise<Readonly<Record<string, unknown>>> {
  const reply = await fetch(url)
  if (!reply.ok) throw new Error(`${reply.status}`)
  return (await reply.json()) as Readonly<Record<string, unknown>>
}
