import { randomBytes } from 'node:crypto'
import { isSignedBy, pairOfProcess, parseJwt } from './cluster-issuer.ts'

export const account = 'berth@my-project.iam.gserviceaccount.com'
export const cloudPlatform = 'https://www.googleapis.com/auth/cloud-platform'
export const scopesKnown: ReadonlySet<string> = new Set([
  cloudPlatform,
  `${cloudPlatform}.read-only`,
])
const oauthUrl = 'https://oauth2.googleapis.com/token'

type Key = Parameters<typeof isSignedBy>[1]

/** The keys of one service account, and the logins of one user. */
export function createAccounts() {
  const keys: Key[] = []
  const logins = new Set<string>()

  const isLoggedIn = (form: URLSearchParams): boolean => logins.has(form.get('refresh_token') ?? '')

  const wrongLogin = (form: URLSearchParams): string | undefined => {
    const isClient =
      form.get('client_id') === 'client' && form.get('client_secret') === 'client-secret'
    return isClient && isLoggedIn(form) ? undefined : 'Token has been expired or revoked.'
  }

  const wrongAssertion = (form: URLSearchParams): string | undefined => {
    const assertion = form.get('assertion') ?? ''
    const claims = parseJwt(assertion)?.claims
    const now = Date.now() / 1000
    if (form.get('grant_type') !== 'urn:ietf:params:oauth:grant-type:jwt-bearer')
      return 'Invalid grant type'
    if (claims?.iss !== account) return 'Invalid grant: account not found'
    if (!keys.some((key) => isSignedBy(assertion, key))) return 'Invalid JWT Signature.'
    const { exp = 0, iat = 0, aud, scope = '' } = claims
    if (aud !== oauthUrl) return 'Invalid JWT: wrong audience'
    if (exp < now || iat > now + 60 || exp - iat > 3600)
      return 'Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.'
    return scopesKnown.has(scope) ? undefined : 'Invalid OAuth scope'
  }

  return {
    isLoggedIn,
    /** The error of a request for an access token; undefined if it is valid. */
    wrongIn: (form: URLSearchParams): string | undefined =>
      form.get('grant_type') === 'refresh_token' ? wrongLogin(form) : wrongAssertion(form),

    createKey: () => {
      const { publicKey, privateKey } = pairOfProcess('RS256')
      const jwk = publicKey.export({ format: 'jwk' })
      keys.push({ ...jwk, kid: 'key', alg: 'RS256', use: 'sig' })
      return {
        type: 'service_account',
        project_id: 'my-project',
        private_key_id: 'key',
        private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        client_email: account,
        client_id: '1',
        token_uri: oauthUrl,
        universe_domain: 'googleapis.com',
      }
    },
    deleteKeys: () => void keys.splice(0),
    logIn: (url: string) => {
      const refresh_token = `1//${randomBytes(48).toString('base64url')}`
      logins.add(refresh_token)
      return {
        type: 'authorized_user',
        account: 'dev@example.com',
        client_id: 'client',
        client_secret: 'client-secret',
        refresh_token,
        universe_domain: 'googleapis.com',
        // Which gcloud leaves out: oauth2.googleapis.com is meant then.
        token_uri: `${url}/token`,
      }
    },
    revokeLogins: () => logins.clear(),
  }
}
