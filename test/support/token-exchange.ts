import { createPublicKey, type JsonWebKey, verify } from 'node:crypto'
import { answerJson, type FakeServer, startFakeServer } from './fake-server.ts'
import { createTokens, type Tokens } from './google.ts'

/** Google's security token service, which believes the tokens of one cluster. */
export interface TokenExchange extends Pick<FakeServer, 'requests' | 'start' | 'stop'> {
  readonly tokenUrl: string
  /** What registries accept. */
  readonly accessTokens: Tokens
  /** Who was given a token, as `system:serviceaccount:NAMESPACE:NAME`, in order. */
  readonly subjects: readonly string[]
}

type Options = {
  /** As in `projects/1/locations/global/workloadIdentityPools/clusters/providers/cluster`. */
  readonly provider: string
  /** What the cluster's `/openid/v1/jwks` says. */
  readonly jwks: string
  /** Where it listens. */
  readonly address: string
}

type Claims = { readonly aud: readonly string[]; readonly exp: number; readonly sub: string }

export async function startTokenExchange({
  provider,
  jwks,
  address,
}: Options): Promise<TokenExchange> {
  const { keys } = JSON.parse(jwks) as { keys: readonly (JsonWebKey & { kid: string })[] }
  const audience = `//iam.googleapis.com/${provider}`
  const accessTokens = createTokens('ya29.c.', { seconds: 3600 })
  const subjects: string[] = []

  /** Why a token of a service account is none, or whose it is. */
  const examine = (token: string): { readonly wrong: string } | { readonly subject: string } => {
    const [header = '', payload = '', signature = ''] = token.split('.')
    const { kid, alg } = decode(header) as { kid: string; alg: string }
    const jwk = keys.find((key) => key.kid === kid)
    if (jwk === undefined || alg !== 'RS256') return { wrong: 'it is signed by nobody we know' }
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    const signed = Buffer.from(`${header}.${payload}`)
    if (!verify('RSA-SHA256', signed, key, Buffer.from(signature, 'base64url')))
      return { wrong: 'the signature is not right' }
    const { aud, exp, sub } = decode(payload) as Claims
    // The audience of the token has the scheme that the audience of the exchange lacks.
    if (!aud.includes(`https:${audience}`)) return { wrong: `its audience is ${aud}` }
    return exp > Date.now() / 1000 ? { subject: sub } : { wrong: 'it has expired' }
  }

  const server = await startFakeServer(
    ({ method, path, body }, response) => {
      if (method !== 'POST' || path !== '/v1/token') return answerJson(response, 404, {})
      const form = new URLSearchParams(body)
      const found = examine(form.get('subject_token') ?? '')
      if ('wrong' in found || form.get('audience') !== audience) {
        const error_description = 'wrong' in found ? found.wrong : 'the audience is another'
        return answerJson(response, 400, { error: 'invalid_grant', error_description })
      }
      subjects.push(found.subject)
      const { token, seconds } = accessTokens.issue(found.subject)
      answerJson(response, 200, {
        access_token: token,
        issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        token_type: 'Bearer',
        expires_in: seconds,
      })
    },
    { address },
  )

  return { ...server, tokenUrl: `${server.url}/v1/token`, accessTokens, subjects }
}

function decode(part: string): unknown {
  return JSON.parse(Buffer.from(part, 'base64url').toString())
}
