import assert from 'node:assert/strict'
import { after, afterEach, beforeEach, test } from 'node:test'
import { CredentialError } from '../../src/credentials/credential-error.ts'
import { isRegistryError } from '../../src/oci/errors.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import type { Remote } from '../../src/remote/remote.ts'
import { eventually } from '../support/berth.ts'
import { basicOf, createCanaries } from '../support/canaries.ts'
import { useClock, useForwardClock } from '../support/clock.ts'
import {
  anonymous,
  type ChangingSource,
  changingSource,
  createBarrier,
  type OpenRemote,
  openRemote,
  settle,
  shortTimeouts,
  tellingTelemetry,
} from '../support/remotes.ts'
import { startTokenRegistry, type TokenRegistry } from '../support/token-registry.ts'
import { sendJson, startWebServer, type WebServer } from '../support/web-server.ts'

const canaries = createCanaries()
const name = parseRepositoryName('team/app')
const { telemetry, lines } = tellingTelemetry()
/** Messages of the errors that were met. */
const told: string[] = []

let registry: TokenRegistry
let stranger: WebServer
let opened: Remote[]

beforeEach(async () => {
  opened = []
  registry = await startTokenRegistry(() => canaries.secret('token'))
  stranger = await startWebServer((_seen, response) => sendJson(response, { token: 'stolen' }))
})

afterEach(async () => {
  await Promise.all(opened.map((remote) => remote.close()))
  await Promise.all([registry.close(), stranger.close()])
  await canaries.assertUnseen({ strangers: [stranger] })
})

after(async () => {
  const metrics = await telemetry.metrics.text()
  await canaries.assertUnseen({ texts: [...lines, ...told, metrics] })
})

function open(source: ChangingSource, options: Partial<OpenRemote> = {}): Remote {
  const remote = openRemote({ url: registry.url, source, telemetry, ...options })
  opened.push(remote)
  return remote
}

function accessToken(token = canaries.secret('access')) {
  return { kind: 'access-token', username: 'oauth2accesstoken', token } as const
}

function password(username = 'robot') {
  return { kind: 'password', username, password: canaries.password(username) } as const
}

/** The Authorization headers that the registry, and not its token endpoint, was sent. */
function shown(server = registry.server): readonly unknown[] {
  return server.requests
    .filter(({ path }) => path.startsWith('/v2/'))
    .map(({ headers }) => headers['authorization'])
}

function tokenRequests(server = registry.server) {
  return server.requests.filter(({ path }) => path.startsWith('/token'))
}

/** A refusal of this status, whose message is kept to be searched. */
function refused(code: 'DENIED' | 'UNAVAILABLE', status: number, message = /./) {
  return (error: unknown): boolean => {
    assert.ok(isRegistryError(error, code), String(error))
    told.push(error.message)
    assert.equal(error.status, status, error.message)
    assert.match(error.message, message)
    return true
  }
}

test('an access token is sent directly, and no other token is requested if it is accepted', async () => {
  const credential = accessToken()
  registry.server.answer((_seen, response) => sendJson(response, { tags: ['v1'] }))
  assert.deepEqual((await open(changingSource(credential)).tags(name))?.tags, ['v1'])
  assert.deepEqual(shown(), [`Bearer ${credential.token}`])
  assert.equal(tokenRequests().length, 0)
})

test('an access token that is rejected is exchanged at the token endpoint, once', async () => {
  const credential = accessToken()
  registry.user = [credential.username, credential.token]
  const remote = open(changingSource(credential))
  assert.deepEqual((await remote.tags(name))?.tags, ['v1'])
  assert.deepEqual((await remote.tags(name))?.tags, ['v1'])
  const [token] = registry.tokens
  assert.deepEqual(shown(), [`Bearer ${credential.token}`, `Bearer ${token}`, `Bearer ${token}`])
  assert.equal(tokenRequests().length, 1)
})

test('the token request has service and scope', async () => {
  await open(changingSource(anonymous)).tags(name)
  const [asked] = tokenRequests()
  const { searchParams } = new URL(asked?.path ?? '', registry.url)
  assert.equal(searchParams.get('service'), 'the registry')
  assert.equal(searchParams.get('scope'), 'repository:team/app:pull')
})

test('a password waits for a challenge, and goes to the token endpoint only', async () => {
  const credential = password()
  registry.user = [credential.username, credential.password]
  await open(changingSource(credential)).tags(name)
  assert.deepEqual(shown(), [undefined, `Bearer ${registry.tokens[0]}`])
  assert.deepEqual(
    tokenRequests().map(({ headers }) => headers['authorization']),
    [`Basic ${basicOf(credential.username, credential.password)}`],
  )
})

test('a password is sent to a registry with a Basic challenge, and later without waiting for a challenge', async () => {
  const credential = password()
  const right = `Basic ${basicOf(credential.username, credential.password)}`
  registry.server.answer((seen, response) => {
    if (seen.headers['authorization'] === right) return sendJson(response, { tags: [] })
    response.writeHead(401, { 'www-authenticate': 'Basic realm="registry"' }).end()
  })
  const remote = open(changingSource(credential))
  await remote.tags(name)
  await remote.tags(name)
  assert.deepEqual(shown(), [undefined, right, right])
})

test('of Bearer and Basic challenges, Bearer is used (U52)', async () => {
  const credential = password()
  registry.user = [credential.username, credential.password]
  registry.challenge = `Basic realm="x", ${registry.challenge}`
  assert.deepEqual((await open(changingSource(credential)).tags(name))?.tags, ['v1'])
})

test('an anonymous token request contains no credential', async () => {
  await open(changingSource(anonymous)).tags(name)
  assert.deepEqual(
    tokenRequests().map(({ headers }) => headers['authorization']),
    [undefined],
  )
})

test('each repository has a token of its own', async () => {
  const remote = open(changingSource(anonymous))
  await remote.tags(name)
  await remote.tags(parseRepositoryName('team/other'))
  await remote.tags(name)
  assert.equal(registry.tokens.length, 2)
})

test('concurrent requests for one repository share one token request', async () => {
  const remote = open(changingSource(anonymous))
  const everybodyWasRefused = createBarrier(8)
  registry.beforeRefusal = everybodyWasRefused
  const lists = await Promise.all(Array.from({ length: 8 }, () => remote.tags(name)))
  for (const list of lists) assert.deepEqual(list?.tags, ['v1'])
  assert.equal(registry.tokens.length, 1)
})

test('a token that has become invalid is renewed once, and the request succeeds (U41)', async () => {
  const source = changingSource(accessToken())
  registry.user = [
    'oauth2accesstoken',
    source.credential.kind === 'access-token' ? source.credential.token : '',
  ]
  const remote = open(source)
  await remote.tags(name)
  registry.expire()
  assert.deepEqual((await remote.tags(name))?.tags, ['v1'])
  assert.equal(registry.tokens.length, 2)
})

test('of all requests that are denied with one token, the first renews it, also for later denials (U41)', async () => {
  const remote = open(changingSource(anonymous))
  await remote.tags(name)
  registry.expire()
  const everybodyAsked = createBarrier(8)
  const laterOnes = Promise.withResolvers<void>()
  let refusals = 0
  registry.beforeRefusal = async () => {
    refusals += 1
    const isLate = refusals > 4
    await everybodyAsked()
    if (isLate) await laterOnes.promise
  }
  const lists = Array.from({ length: 8 }, () => remote.tags(name))
  await Promise.any(lists)
  laterOnes.resolve()
  await Promise.all(lists)
  assert.equal(registry.tokens.length, 2)
})

test('a credential is renewed once for all requests that were denied with it, also for late denials (U41)', async (t) => {
  const clock = useClock(t)
  const source = changingSource(accessToken())
  const bearer = () =>
    source.credential.kind === 'access-token' && `Bearer ${source.credential.token}`
  let right = bearer()
  const everybodyAsked = createBarrier(2)
  const later = Promise.withResolvers<void>()
  let refusals = 0
  registry.server.answer(async (seen, response) => {
    if (seen.headers['authorization'] === right) return sendJson(response, { tags: ['v1'] })
    refusals += 1
    const isLate = refusals > 1
    await everybodyAsked()
    if (isLate) await later.promise
    sendJson(response, {}, 401)
  })
  const remote = open(source)
  await settle()
  await remote.tags(name)
  source.credential = accessToken()
  right = bearer()
  clock.advance(5000)
  const lists = [remote.tags(name), remote.tags(name)]
  await Promise.any(lists)
  clock.advance(5000)
  later.resolve()
  await Promise.all(lists)
  assert.equal(source.fetches, 2)
})

test('an invalid token is renewed from the cached credential while its source is unavailable (U41, U42)', async (t) => {
  const clock = useClock(t)
  const credential = password()
  const source = changingSource(credential)
  registry.user = [credential.username, credential.password]
  const remote = open(source)
  await settle()
  await remote.tags(name)
  registry.expire()
  clock.advance(5000)
  source.failure = new Error('the helper died')
  assert.deepEqual((await remote.tags(name))?.tags, ['v1'])
  assert.equal(registry.tokens.length, 2)
  registry.user = ['somebody', 'else']
  registry.expire()
  clock.advance(5000)
  await assert.rejects(remote.tags(name), refused('UNAVAILABLE', 503, /the helper died/))
})

test('missing access is a denial after one renewal (U41)', async () => {
  const credential = password()
  registry.user = [credential.username, credential.password]
  const remote = open(changingSource(credential))
  await remote.tags(name)
  const before = registry.server.requests.length
  registry.registry = (_seen, response) => sendJson(response, {}, 401)
  await assert.rejects(remote.tags(name), refused('DENIED', 403, /the tester was denied access/))
  assert.ok(registry.server.requests.length - before <= 4)
})

test('a denial of the renewed credential too is reported with the first message', async (t) => {
  const clock = useClock(t)
  const source = changingSource(accessToken())
  const remote = open(source)
  registry.server.answer((_seen, response) => sendJson(response, { tags: ['v1'] }))
  await remote.tags(name)
  clock.advance(5000)
  registry.server.answer((_seen, response) => sendJson(response, {}, 401))
  source.failure = new CredentialError('the exchange says no', { denied: true })
  await assert.rejects(
    remote.tags(name),
    refused('DENIED', 403, /the tester was denied access to [^ ]+: .* 401/),
  )
  clock.advance(5000)
  source.failure = new CredentialError('the exchange is down')
  await assert.rejects(remote.tags(name), refused('UNAVAILABLE', 503, /the exchange is down/))
})

test('the first 401 to a credential that was accepted before renews it, and the second is a denial', async (t) => {
  const clock = useForwardClock(t)
  const source = changingSource(accessToken())
  let right = source.credential.kind === 'access-token' ? source.credential.token : ''
  registry.server.answer((seen, response) => {
    const isRight = seen.headers['authorization'] === `Bearer ${right}`
    sendJson(response, isRight ? { tags: ['v1'] } : {}, isRight ? 200 : 401)
  })
  const remote = open(source)
  await settle()
  await remote.tags(name)
  const next = accessToken()
  source.credential = next
  right = next.token
  // A source that was asked a moment ago is not asked again: what it gave is newer than the refusal.
  clock.advance(1100)
  assert.deepEqual((await remote.tags(name))?.tags, ['v1'])
  assert.equal(source.fetches, 2)
  right = 'nobody has it'
  await assert.rejects(remote.tags(name), refused('DENIED', 403))
  assert.equal(source.fetches, 2)
})

test('a token is cached for nine tenths of its life (U53)', async (t) => {
  const clock = useClock(t)
  registry.life = { expires_in: 100 }
  const remote = open(changingSource(anonymous))
  await remote.tags(name)
  clock.advance(89_000)
  await settle()
  await remote.tags(name)
  assert.equal(registry.tokens.length, 1)
  clock.advance(2000)
  await settle()
  await remote.tags(name)
  assert.equal(registry.tokens.length, 2)
})

test('while the token endpoint is down, a token is used until it expires, and not if it is denied (U42, U53)', async (t) => {
  const clock = useClock(t)
  registry.life = { expires_in: 1000 }
  const remote = open(changingSource(anonymous))
  const give = registry.giveToken
  const pullAfter = async (milliseconds: number) => {
    clock.advance(milliseconds)
    await settle()
    return (await remote.tags(name))?.tags
  }
  await pullAfter(0)
  registry.giveToken = (_seen, response) => void response.writeHead(503).end()
  for (const _again of [1, 2]) assert.deepEqual(await pullAfter(910_000 / 2), ['v1'])
  assert.match(remote.problem() ?? '', /answered 503 to a token request/)
  const asked = tokenRequests().length
  assert.deepEqual(await pullAfter(5000), ['v1'])
  assert.equal(tokenRequests().length, asked, 'a request each few seconds is enough')
  await assert.rejects(pullAfter(100_000), refused('UNAVAILABLE', 503, /answered 503 to a token/))
  registry.giveToken = give
  assert.deepEqual(await pullAfter(10_000), ['v1'])

  registry.giveToken = (_seen, response) => sendJson(response, {}, 401)
  await assert.rejects(pullAfter(910_000), refused('DENIED', 403))
})

test('the life of a token is read from its claims if the response has none, as with Azure', async (t) => {
  const clock = useClock(t)
  const claims = (text: string) => Buffer.from(text).toString('base64url')
  const payloads = [
    '{"iat":1000,"exp":5500}',
    '{"iat":5500,"exp":1000}',
    '{"iat":"1000"}',
    'no JSON',
  ].map(claims)
  const tokens = payloads.map((payload) => `e30.${payload}.${canaries.secret('token')}`)
  registry.giveToken = (_seen, response) => sendJson(response, { access_token: tokens.shift() })
  registry.server.answer((seen, response) => {
    if (seen.path.startsWith('/token')) return registry.giveToken(seen, response)
    if (seen.headers['authorization'] !== undefined) return sendJson(response, { tags: ['v1'] })
    response.writeHead(401, { 'www-authenticate': registry.challenge }).end()
  })
  const remote = open(changingSource(anonymous))
  await remote.tags(name)
  // Nine tenths of 4500 seconds, then of a minute for those that say nothing that makes sense.
  for (const [life, given] of [
    [4049, 1],
    [2, 2],
    [53, 2],
    [2, 3],
    [53, 3],
    [2, 4],
  ] as const) {
    clock.advance(life * 1000)
    await settle()
    await remote.tags(name)
    assert.equal(payloads.length - tokens.length, given)
  }
})

test('a token without an expiry is valid for a minute', async (t) => {
  const clock = useClock(t)
  registry.life = {}
  const remote = open(changingSource(anonymous))
  await remote.tags(name)
  clock.advance(50_000)
  await settle()
  await remote.tags(name)
  assert.equal(registry.tokens.length, 1)
  clock.advance(10_000)
  await settle()
  await remote.tags(name)
  assert.equal(registry.tokens.length, 2)
})

test('a new credential drops the tokens of the previous one', async () => {
  const source = changingSource(password())
  const use = (credential: ReturnType<typeof password>) => {
    source.credential = credential
    registry.user = [credential.username, credential.password]
  }
  use(password())
  source.lifetime = 500
  const remote = open(source)
  await remote.tags(name)
  use(password('other'))
  while (source.fetches < 2) await settle()
  await remote.tags(name)
  const users = tokenRequests().map(({ headers }) => headers['authorization'])
  assert.equal(new Set(users).size, 2)
  assert.equal(registry.tokens.length, 2)
})

test('a token that was requested with the previous credential is not cached', async () => {
  const [old, next] = [password(), password('next')]
  const source = changingSource(old)
  const allow = ({ username, password: known }: typeof old) => {
    registry.user = [username, known]
  }
  const { giveToken } = registry
  const other = parseRepositoryName('team/other')
  source.lifetime = 500
  allow(old)
  const remote = open(source)
  await remote.tags(name)
  const asked = Promise.withResolvers<void>()
  const later = Promise.withResolvers<void>()
  registry.giveToken = async (seen, response) => {
    if (!seen.path.includes('other')) return giveToken(seen, response)
    asked.resolve()
    await later.promise
    allow(old)
    giveToken(seen, response)
    allow(next)
  }
  const slow = remote.tags(other)
  await asked.promise
  source.credential = next
  allow(next)
  const before = source.fetches
  while (source.fetches < before + 2) await settle()
  await remote.tags(name)
  later.resolve()
  await slow
  registry.giveToken = giveToken
  await remote.tags(other)
  const users = tokenRequests()
    .filter(({ path }) => path.includes('other'))
    .map(({ headers }) => headers['authorization'])
  assert.deepEqual(
    users,
    [old, next].map(({ username, password: known }) => `Basic ${basicOf(username, known)}`),
  )
})

test('a page of a proxy in front of a token endpoint is not a denial (C192)', async () => {
  const credential = password()
  registry.user = [credential.username, credential.password]
  registry.giveToken = (_seen, response) =>
    void response.writeHead(403, { 'content-type': 'text/html' }).end('<html>log in</html>')
  const remote = open(changingSource(credential))
  await assert.rejects(
    remote.tags(name),
    refused('UNAVAILABLE', 502, /answered 403, but not as a registry/),
  )
})

test('a token endpoint that has moved is discovered from the next challenge', async () => {
  const moved = await startTokenRegistry(() => canaries.secret('token'))
  const credential = password()
  registry.user = moved.user = [credential.username, credential.password]
  try {
    const remote = open(changingSource(credential), {
      tokenRealms: [`http://${moved.server.host}`],
    })
    await remote.tags(name)
    registry.expire()
    registry.giveToken = (_seen, response) => sendJson(response, {}, 404)
    registry.challenge = `Bearer realm="${moved.url}/token"`
    await assert.rejects(
      remote.tags(name),
      refused('UNAVAILABLE', 503, /answered 404 to a token request/),
    )
    // The registry itself takes no token of the new endpoint: a refusal, but one with a token.
    await assert.rejects(remote.tags(name), refused('DENIED', 403))
    assert.equal(shown().at(-1), `Bearer ${moved.tokens.at(-1)}`)
  } finally {
    await moved.close()
  }
})

test('a realm in another domain gets no credential, and the error names it and the field that would allow it (U52)', async () => {
  registry.challenge = `Bearer realm="${stranger.url}/token",service="x"`
  for (const credential of [password(), accessToken(), anonymous]) {
    const remote = open(changingSource(credential))
    await assert.rejects(
      remote.tags(name),
      refused('UNAVAILABLE', 502, /127\.0\.0\.1.*tokenRealms/),
    )
  }
  assert.equal(stranger.requests.length, 0)
})

test('a realm with userinfo, an invalid one, and one with another scheme get no request (U52)', async () => {
  const { host } = registry.server
  for (const realm of [`http://user:pass@${host}/token`, `https://${host}/token`]) {
    registry.challenge = `Bearer realm="${realm}"`
    await assert.rejects(open(changingSource(password())).tags(name), refused('UNAVAILABLE', 502))
  }
  for (const realm of ['token', '', 'javascript:alert(1)', 'file:///etc/passwd']) {
    registry.challenge = `Bearer realm="${realm}"`
    await assert.rejects(
      open(changingSource(password())).tags(name),
      (error) => isRegistryError(error, 'DENIED') || isRegistryError(error, 'UNAVAILABLE'),
    )
  }
  assert.equal(tokenRequests().length, 0)
  assert.deepEqual(new Set(shown()), new Set([undefined]))
})

test('an invalid challenge, one of 64 kB and none are denials (U52)', async () => {
  for (const challenge of [
    'Bearer realm="unterminated',
    `Bearer realm="${registry.url}/token${'a'.repeat(50_000)}"`,
    'Negotiate',
    ', ,,',
  ]) {
    registry.challenge = challenge
    await assert.rejects(open(changingSource(password())).tags(name), refused('DENIED', 403))
  }
  registry.server.answer((_seen, response) => sendJson(response, {}, 401))
  await assert.rejects(open(changingSource(password())).tags(name), refused('DENIED', 403))
  assert.deepEqual(new Set(shown()), new Set([undefined]))
})

test('two upstreams on one host with two credentials do not share tokens (U53)', async () => {
  const users = [password('one'), password('two')]
  const givenTo = new Map<string, string>()
  registry.giveToken = (seen, response) => {
    const token = canaries.secret('token')
    givenTo.set(`Bearer ${token}`, String(seen.headers['authorization']))
    sendJson(response, { token, expires_in: 300 })
  }
  const seenBy: [agent: unknown, user: string | undefined][] = []
  registry.server.answer((seen, response) => {
    if (seen.path.startsWith('/token')) return registry.giveToken(seen, response)
    const authorization = seen.headers['authorization']
    if (typeof authorization !== 'string') {
      response.writeHead(401, { 'www-authenticate': registry.challenge }).end()
      return
    }
    seenBy.push([seen.headers['user-agent'], givenTo.get(authorization)])
    sendJson(response, { tags: ['v1'] })
  })
  const remotes = users.map((credential, at) =>
    open(changingSource(credential), { userAgent: `remote ${at}`, upstream: `up ${at}` }),
  )
  await Promise.all(
    Array.from({ length: 20 }, (_, at) =>
      remotes[at % 2]?.tags(parseRepositoryName(`r/${at % 5}`)),
    ),
  )
  for (const [at, { username, password }] of users.entries()) {
    const mine = seenBy.filter(([agent]) => agent === `remote ${at}`)
    assert.equal(mine.length, 10)
    for (const [, user] of mine) assert.equal(user, `Basic ${basicOf(username, password)}`)
  }
})

test('a denial by a token endpoint names the endpoint', async () => {
  registry.user = ['somebody', canaries.password('somebody')]
  const remote = open(changingSource(password()))
  await assert.rejects(
    remote.tags(name),
    refused('DENIED', 403, /answered 401 to a token request .* as the tester/),
  )
})

test('a token endpoint that answers 429 is throttled (U46)', async () => {
  registry.giveToken = (_seen, response) => {
    response.setHeader('retry-after', '45')
    sendJson(response, {}, 429)
  }
  const remote = open(changingSource(anonymous))
  await assert.rejects(remote.tags(name), (error) => {
    assert.ok(isRegistryError(error, 'UNAVAILABLE'))
    return error.retryAfter === 45
  })
  await assert.rejects(remote.tags(name), refused('UNAVAILABLE', 503, /429/))
  assert.equal(tokenRequests().length, 1)
})

test('an answer without a token is reported as a failure of the token endpoint', async () => {
  const answers: [status: number, body: string, wanted: number][] = [
    [200, '<html>log in</html>', 502],
    [200, '{}', 502],
    [200, '{"token":7}', 502],
    [200, '{"token":"a\\r\\nb: c"}', 502],
    [200, `{"token":"${'x'.repeat(70_000)}"}`, 502],
    [500, '{}', 503],
    [302, '{}', 503],
  ]
  for (const [status, body, wanted] of answers) {
    registry.giveToken = (_seen, response) => void response.writeHead(status).end(body)
    await assert.rejects(open(changingSource(password())).tags(name), (error) => {
      assert.ok(isRegistryError(error))
      told.push(error.message)
      return error.status === wanted
    })
  }
})

test('empty fields and numbers as text in a token response are accepted', async () => {
  for (const answer of [
    { token: '', access_token: 'right' },
    { access_token: 'right' },
    { token: 'right', access_token: null },
    { token: 'right', expires_in: '3600' },
    { token: 'right', expires_in: null },
    { token: 'right', expires_in: 0 },
  ]) {
    const gateway = await startWebServer((seen, response) => {
      if (seen.path.startsWith('/token')) return sendJson(response, answer)
      const isRight = seen.headers['authorization'] === 'Bearer right'
      if (!isRight) response.setHeader('www-authenticate', `Bearer realm="${gateway.url}/token"`)
      sendJson(response, { tags: ['v1'] }, isRight ? 200 : 401)
    })
    try {
      const remote = open(changingSource(anonymous), { url: gateway.url })
      assert.deepEqual((await remote.tags(name))?.tags, ['v1'], JSON.stringify(answer))
      assert.deepEqual((await remote.tags(name))?.tags, ['v1'])
      assert.equal(gateway.count('/token'), 1, JSON.stringify(answer))
    } finally {
      await gateway.close()
    }
  }
})

test('a source that returns the same credential keeps its tokens valid', async () => {
  const credential = password()
  registry.user = [credential.username, credential.password]
  const source = changingSource(credential)
  source.lifetime = 200
  const remote = open(source)
  await remote.tags(name)
  while (source.fetches < 3) await settle()
  await remote.tags(name)
  assert.equal(registry.tokens.length, 1)
})

test('a denial that ends with an error leaves no open connection', async () => {
  registry.server.answer((_seen, response) => {
    response.writeHead(401, { 'www-authenticate': `Bearer realm="${stranger.url}/token"` })
    response.end(Buffer.alloc(30_000_000))
  })
  const timeouts = { ...shortTimeouts, idle: 60_000 }
  const remote = open(changingSource(password()), { timeouts })
  for (let times = 0; times < 5; times += 1)
    await assert.rejects(remote.tags(name), refused('UNAVAILABLE', 502))
  await eventually('unread answers are let go of', () => registry.server.connections.open <= 1)
})

test('a token endpoint that redirects is not followed', async () => {
  registry.giveToken = (_seen, response) =>
    void response.writeHead(307, { location: `${stranger.url}/token` }).end()
  await assert.rejects(
    open(changingSource(password())).tags(name),
    refused('UNAVAILABLE', 503, /answered 307/),
  )
  assert.equal(stranger.requests.length, 0)
})

test('a credential in a message of the upstream is not passed on', async () => {
  const credential = accessToken()
  registry.server.answer((seen, response) => {
    const message = `go away, ${seen.headers['authorization']}`
    sendJson(response, { errors: [{ code: 'DENIED', message }] }, 403)
  })
  const remote = open(changingSource(credential))
  await assert.rejects(remote.tags(name), refused('DENIED', 403, /go away, Bearer \[redacted\]/))
})

test('a rejected token in a message of the upstream is not passed on', async (t) => {
  const clock = useClock(t)
  const credential = password()
  const source = changingSource(credential)
  registry.user = [credential.username, credential.password]
  const remote = open(source)
  await settle()
  await remote.tags(name)
  clock.advance(5000)
  source.failure = new CredentialError('no role', { denied: true })
  registry.registry = (seen, response) => {
    const message = `no, ${seen.headers['authorization']}`
    sendJson(response, { errors: [{ code: 'UNAUTHORIZED', message }] }, 401)
  }
  await assert.rejects(remote.tags(name), refused('DENIED', 403, /: no, Bearer \[redacted\]/))
})

test('a failing credential source is an error, and not an anonymous request', async () => {
  const source = changingSource(password())
  source.failure = new Error('the helper died')
  await assert.rejects(
    open(source).tags(name),
    refused('UNAVAILABLE', 503, /no credential for up as the tester: the helper died/),
  )
  assert.equal(registry.server.requests.length, 0)
})

/** As Amazon ECR: Basic, and a 403 for a password that was right. */
function wantsBasic(isRight: (header: unknown) => boolean, words: string): void {
  registry.server.answer((seen, response) => {
    const { authorization } = seen.headers
    if (isRight(authorization)) return sendJson(response, { tags: ['v1'] })
    response.setHeader('docker-distribution-api-version', 'registry/2.0')
    if (authorization !== undefined) return void response.writeHead(403).end(words)
    response.setHeader('www-authenticate', 'Basic realm="ecr"')
    sendJson(response, {}, 401)
  })
}

test('a 403 for an expired credential renews it once for all requests (U41)', async (t) => {
  const clock = useForwardClock(t)
  const words = [
    '{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}',
    "Your Authorization Token has expired. Please run 'aws ecr get-login' to fetch a new one.",
  ]
  for (const each of words) {
    const [old, next] = [password('AWS'), password('AWS')]
    const source = changingSource(old)
    const remote = open(source)
    wantsBasic((header) => header === `Basic ${basicOf('AWS', old.password)}`, each)
    await remote.tags(name)
    wantsBasic((header) => header === `Basic ${basicOf('AWS', next.password)}`, each)
    source.credential = next
    clock.advance(1100)
    const before = source.fetches
    await Promise.all(Array.from({ length: 10 }, () => remote.tags(name)))
    assert.equal(source.fetches - before, 1)
  }
})

test('a renewed credential that is also expired is a denial without another renewal', async (t) => {
  const clock = useForwardClock(t)
  const source = changingSource(password('AWS'))
  const remote = open(source)
  wantsBasic(() => false, 'Your authorization token has expired. Reauthenticate and try again.')
  await settle()
  clock.advance(1100)
  await assert.rejects(remote.tags(name), refused('DENIED', 403, /token has expired/))
  assert.ok(source.fetches <= 2)
  assert.ok(registry.server.requests.length <= 3)
})

test('a 403 for another reason renews nothing, and its message is reported (U43)', async (t) => {
  const clock = useForwardClock(t)
  const source = changingSource(password('AWS'))
  const remote = open(source)
  wantsBasic(() => false, 'not authorized to perform: ecr:BatchGetImage')
  await settle()
  clock.advance(1100)
  const before = source.fetches
  await assert.rejects(remote.tags(name), refused('DENIED', 403, /ecr:BatchGetImage/))
  assert.equal(source.fetches, before)
})

test('a 401 for insufficient scope denies that repository, and keeps the credential and other tokens', async () => {
  const credential = password()
  registry.user = [credential.username, credential.password]
  const source = changingSource(credential)
  const remote = open(source)
  await remote.tags(name)
  const other = parseRepositoryName('team/other')
  registry.registry = (seen, response) => {
    if (!seen.path.includes('/other/')) return sendJson(response, { tags: ['v1'] })
    const error = 'scope="repository:team/other:pull",error="insufficient_scope"'
    response.setHeader('www-authenticate', `${registry.challenge},${error}`)
    sendJson(response, {}, 401)
  }
  await assert.rejects(remote.tags(other), refused('DENIED', 403))
  await assert.rejects(remote.tags(other), refused('DENIED', 403))
  assert.equal(source.fetches, 1)
  await remote.tags(name)
  const scopes = tokenRequests().map(({ path }) =>
    new URL(path, registry.url).searchParams.get('scope'),
  )
  const [mine, others] = ['repository:team/app:pull', 'repository:team/other:pull']
  // The refused token is asked for again: who was refused may have been allowed since.
  assert.deepEqual(scopes, [mine, others, others])
})

test('a token is requested for the read actions in the scope of a challenge', async () => {
  const theirs = 'repository:linuxserver/app:pull,push,delete registry:catalog:*'
  registry.challenge = `Bearer realm="${registry.url}/token",service="s",scope="${theirs}"`
  const asked: (string | null)[] = []
  registry.giveToken = (seen, response) => {
    asked.push(new URL(seen.path, registry.url).searchParams.get('scope'))
    sendJson(response, { token: 'theirs' })
  }
  registry.server.answer((seen, response) => {
    if (seen.path.startsWith('/token')) return void registry.giveToken(seen, response)
    if (seen.headers['authorization'] === 'Bearer theirs')
      return sendJson(response, { tags: ['v1'] })
    response.setHeader('www-authenticate', registry.challenge)
    sendJson(response, {}, 401)
  })
  const remote = open(changingSource(anonymous))
  assert.deepEqual((await remote.tags(name))?.tags, ['v1'])
  assert.deepEqual((await remote.tags(name))?.tags, ['v1'])
  assert.deepEqual(asked, ['repository:linuxserver/app:pull'])
})

test('a token realm in another domain gets anonymous requests, without a credential', async () => {
  const realm = 'https://tokens.invalid/token'
  registry.challenge = `Bearer realm="${realm}",service="s"`
  const urls: string[] = []
  const observe = ({ url }: { readonly url: string }) => void urls.push(url)
  await assert.rejects(open(changingSource(anonymous), { observe }).tags(name), (error) =>
    isRegistryError(error, 'UNAVAILABLE'),
  )
  assert.ok(urls.some((url) => url.startsWith(realm)))
  urls.length = 0
  const secretive = open(changingSource(password()), { observe })
  const field = /list tokens\.invalid under upstreams\[\]\.tokenRealms/
  await assert.rejects(secretive.tags(name), refused('UNAVAILABLE', 502, field))
  assert.ok(!urls.some((url) => url.startsWith(realm)))
})
