import { readFile, rm, writeFile } from 'node:fs/promises'
import { request as requestPlain } from 'node:http'
import { request } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { parseDocument } from 'yaml'
import { z } from 'zod'

/** What kubectl's `auth-provider` `oidc` has in a kubeconfig. */
type OidcConfig = Readonly<Record<string, string>>

type Tokens = { readonly idToken: string; readonly refreshToken: string }

/** The id token of a user, renewed by the refresh token. */
export interface OidcLogin {
  /**
   * `config`: as the kubeconfig has it now.
   * @throws Error: it has expired, and cannot be renewed.
   */
  idToken(config: OidcConfig): Promise<string>
}

type Options = {
  /** Stores what was renewed, so that kubectl has it too. */
  readonly onRenewed: (tokens: Tokens) => Promise<void>
}

/** Milliseconds. */
const timeout = 15_000
/** Seconds for which an id token must remain valid. */
const margin = 10

const metadataSchema = z.object({ token_endpoint: z.url() })
const answerSchema = z.object({ id_token: z.string().min(1), refresh_token: z.string().optional() })
const failureSchema = z.object({ error: z.string(), error_description: z.string().optional() })

/**
 * Own code: `@kubernetes/client-node` renews an expired token for each request with the refresh token of the file, and a
 * provider that rotates refresh tokens accepts each of them once; it drops the client secret with an authority of one's own.
 */
export function createOidcLogin({ onRenewed }: Options): OidcLogin {
  let renewed: (Tokens & { readonly from: string }) | undefined
  let running: Promise<string> | undefined

  const renew = async (config: OidcConfig, refreshToken: string): Promise<string> => {
    const { id_token: idToken, refresh_token } = await requestTokens(config, refreshToken)
    const tokens = { idToken, refreshToken: refresh_token ?? refreshToken }
    renewed = { ...tokens, from: config['refresh-token'] ?? '' }
    await onRenewed(tokens).catch(() => {})
    return idToken
  }

  return {
    idToken: async (config) => {
      // Another program may have logged in meanwhile: then the file is newer.
      const own = renewed?.from === (config['refresh-token'] ?? '') ? renewed : undefined
      const idToken = own?.idToken ?? config['id-token'] ?? ''
      if (expiryOf(idToken) > Date.now() / 1000 + margin) return idToken
      const refreshToken = own?.refreshToken ?? config['refresh-token']
      if (refreshToken === undefined || refreshToken === '')
        throw new Error('the id-token has expired, and there is no refresh-token: log in again')
      running ??= renew(config, refreshToken).finally(() => {
        running = undefined
      })
      return running
    },
  }
}

/** In seconds since the epoch; 0: unknown. */
function expiryOf(token: string): number {
  try {
    const claims: unknown = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'),
    )
    return z.object({ exp: z.number() }).parse(claims).exp
  } catch {
    return 0
  }
}

/** OpenID Connect Discovery 1.0, section 4; RFC 6749, section 6. */
async function requestTokens(config: OidcConfig, refreshToken: string) {
  const issuer = (config['idp-issuer-url'] ?? '').replace(/\/$/, '')
  const ca = await authorityOf(config)
  const found = await ask(`${issuer}/.well-known/openid-configuration`, { ca })
  if (found.status !== 200) throw new Error(`${issuer} answered ${found.status}`)
  const { token_endpoint } = metadataSchema.parse(JSON.parse(found.text))
  const [id = '', secret = ''] = [config['client-id'], config['client-secret']]
  const form = { grant_type: 'refresh_token', refresh_token: refreshToken }
  const inBody = { ...form, client_id: id, ...(secret !== '' && { client_secret: secret }) }
  const basic = `Basic ${Buffer.from([id, secret].map(encodeURIComponent).join(':')).toString('base64')}`
  // As golang.org/x/oauth2 does: the header first, then the body for providers that want it there.
  const first =
    secret === ''
      ? await ask(token_endpoint, { ca, form: inBody })
      : await ask(token_endpoint, { ca, form, authorization: basic })
  const isClientRefused = first.status === 401 && secret !== ''
  const answer = isClientRefused ? await ask(token_endpoint, { ca, form: inBody }) : first
  if (answer.status !== 200)
    throw new Error(
      `${new URL(token_endpoint).host} did not renew the id-token: ${describe(answer)}: log in again`,
    )
  return answerSchema.parse(JSON.parse(answer.text))
}

/** Without the tokens that it may quote. */
function describe({ status, text }: Answer): string {
  try {
    const { error, error_description } = failureSchema.parse(JSON.parse(text))
    return `${status} ${error}${error_description === undefined ? '' : ` (${error_description})`}`
  } catch {
    return String(status)
  }
}

async function authorityOf(config: OidcConfig): Promise<Buffer | undefined> {
  const data = config['idp-certificate-authority-data']
  const file = config['idp-certificate-authority']
  if (data) return Buffer.from(data, 'base64')
  return file ? readFile(file) : undefined
}

type Asked = {
  readonly ca: Buffer | undefined
  readonly form?: Readonly<Record<string, string>>
  readonly authorization?: string
}
type Answer = { readonly status: number; readonly text: string }

async function ask(target: string, { ca, form, authorization }: Asked): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const url = new URL(target)
  const send = url.protocol === 'http:' ? requestPlain : request
  const body = form && new URLSearchParams(form).toString()
  const headers = {
    accept: 'application/json',
    ...(body !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
    ...(authorization !== undefined && { authorization }),
  }
  const signal = AbortSignal.timeout(timeout)
  const method = body === undefined ? 'GET' : 'POST'
  send(url, { method, headers, signal, ...(ca !== undefined && { ca }) }, (response) => {
    buffer(response)
      .then((bytes) => resolve({ status: response.statusCode ?? 0, text: bytes.toString('utf8') }))
      .catch(reject)
  })
    .on('error', (cause) =>
      reject(new Error(`cannot reach ${url.host}: ${cause.message}`, { cause })),
    )
    .end(body)
  return promise
}

type Place = { readonly file: string; readonly user: string }

/**
 * Writes renewed tokens into a kubeconfig, as kubectl does: in place, under its lock. Comments and all else stay.
 * @throws a system error, also if another program holds the lock.
 */
export async function storeTokens({ file, user }: Place, tokens: Tokens): Promise<void> {
  const lock = `${file}.lock`
  await writeFile(lock, '', { flag: 'wx', mode: 0o600 })
  try {
    const document = parseDocument(await readFile(file, 'utf8'))
    const users = z
      .looseObject({ users: z.array(z.looseObject({ name: z.string() })) })
      .parse(document.toJS()).users
    const at = users.findIndex(({ name }) => name === user)
    if (at < 0) return
    const place = ['users', at, 'user', 'auth-provider', 'config']
    document.setIn([...place, 'id-token'], tokens.idToken)
    document.setIn([...place, 'refresh-token'], tokens.refreshToken)
    await writeFile(file, document.toString({ lineWidth: 0 }))
  } finally {
    await rm(lock, { force: true })
  }
}
