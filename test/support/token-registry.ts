import type { ServerResponse } from 'node:http'
import { basicOf } from './canaries.ts'
import { type Seen, sendJson, startWebServer, type WebServer } from './web-server.ts'

/** A registry that wants tokens, and the endpoint that gives them, on one server. */
export interface TokenRegistry {
  readonly url: string
  readonly server: WebServer
  /** Tokens given so far, newest last. */
  readonly tokens: readonly string[]
  /** Users that get tokens, with passwords. Empty: anonymous users. */
  user: readonly [username: string, password: string] | undefined
  /** What the token endpoint says beside the token. */
  life: Readonly<Record<string, unknown>>
  /** The challenge; by default the own token endpoint's. */
  challenge: string
  /** No token given so far is right any more. */
  expire(): void
  /** Replaces the registry's answer to an authorized request. */
  registry: (seen: Seen, response: ServerResponse) => void
  /** Stands in for the token endpoint. */
  giveToken: (seen: Seen, response: ServerResponse) => void | Promise<void>
  /** Called before a request without a right token is refused. */
  beforeRefusal: (seen: Seen) => Promise<void>
  close(): Promise<void>
}

export async function startTokenRegistry(newToken: () => string): Promise<TokenRegistry> {
  const valid = new Map<string, string>()
  const tokens: string[] = []
  const server = await startWebServer(async (seen, response) => {
    const { pathname, searchParams } = new URL(seen.path, 'http://any')
    if (pathname === '/token') return registry.giveToken(seen, response)
    const [, token = ''] = /^Bearer (.+)$/.exec(String(seen.headers['authorization'])) ?? []
    if (valid.get(token) === scopeOf(pathname)) return registry.registry(seen, response)
    await registry.beforeRefusal(seen)
    response.setHeader('www-authenticate', registry.challenge)
    sendJson(response, { errors: [{ code: 'UNAUTHORIZED', message: `no: ${searchParams}` }] }, 401)
  })

  const registry: TokenRegistry = {
    url: server.url,
    server,
    tokens,
    user: undefined,
    life: { expires_in: 300 },
    challenge: `Bearer realm="${server.url}/token",service="the registry"`,
    expire: () => valid.clear(),
    registry: (_seen, response) => sendJson(response, { tags: ['v1'] }),
    beforeRefusal: async () => {},
    giveToken: (seen, response) => {
      const { searchParams } = new URL(seen.path, 'http://any')
      const wanted = registry.user === undefined ? undefined : `Basic ${basicOf(...registry.user)}`
      if (seen.headers['authorization'] !== wanted) return sendJson(response, {}, 401)
      const token = newToken()
      tokens.push(token)
      valid.set(token, searchParams.get('scope') ?? '')
      sendJson(response, { token, ...registry.life })
    },
    close: server.close,
  }
  return registry
}

function scopeOf(path: string): string {
  const [, name = ''] = /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\//.exec(path) ?? []
  return `repository:${name}:pull`
}
