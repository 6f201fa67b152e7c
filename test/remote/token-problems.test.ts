import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import type { Remote } from '../../src/remote/remote.ts'
import { useForwardClock } from '../support/clock.ts'
import { changingSource, openRemote } from '../support/remotes.ts'
import { startTokenRegistry, type TokenRegistry } from '../support/token-registry.ts'

/** Without tokens nothing can be pulled, although the registry itself is well: /readyz has to say so. */
const name = parseRepositoryName('team/app')
let registry: TokenRegistry
let remote: Remote

beforeEach(async () => {
  registry = await startTokenRegistry(() => 'issued')
  remote = openRemote({ url: registry.url, tokenRealms: ['http://127.0.0.1:1'] })
})
afterEach(() => Promise.all([remote.close(), registry.close()]))

type Answer = readonly [status: number, headers: Readonly<Record<string, string>>, body: string]
const json = { 'content-type': 'application/json' }
const troubles: readonly (readonly [string, Answer | 'refused', RegExp])[] = [
  ['refuses connections', 'refused', /cannot use http:\/\/127\.0\.0\.1:1: connection refused/],
  ['answers 503', [503, {}, 'overloaded'], /answered 503 to a token request .*: overloaded$/],
  ['answers 404', [404, json, '{}'], /answered 404 to a token request/],
  ['answers with a page', [200, { 'content-type': 'text/html' }, '<html>'], /not as a registry/],
  ['answers without a token', [200, json, '{}'], /answered without a token/],
  [
    'throttles',
    [429, { 'retry-after': '120' }, '{"details":"too many logins"}'],
    /answered 429 to a token request .*: too many logins$/,
  ],
]
for (const [what, answer, problem] of troubles)
  test(`a token service that ${what} is a problem of the upstream until it issues a token`, async (t) => {
    const clock = useForwardClock(t)
    const right = registry.challenge
    const give = registry.giveToken
    if (answer === 'refused')
      registry.challenge = 'Bearer realm="http://127.0.0.1:1/token",service="the registry"'
    else
      registry.giveToken = (_seen, response) => {
        const [status, headers, body] = answer
        response.writeHead(status, headers).end(body)
      }
    assert.equal(remote.problem(), undefined)
    await assert.rejects(remote.tags(name), problem)
    assert.match(remote.problem() ?? '', problem)
    registry.challenge = right
    registry.giveToken = give
    clock.advance(60_000)
    assert.deepEqual((await remote.tags(name))?.tags, ['v1'])
    assert.equal(remote.problem(), undefined)
  })

test('a problem of a token service that nobody asks again is forgotten after a minute', async (t) => {
  const clock = useForwardClock(t)
  registry.giveToken = (_seen, response) => void response.writeHead(503).end()
  await assert.rejects(remote.tags(name), /answered 503/)
  clock.advance(50_000)
  assert.match(remote.problem() ?? '', /answered 503/)
  clock.advance(10_000)
  assert.equal(remote.problem(), undefined)
})

test('what a token service denies is a problem of that repository, with its reason', async () => {
  const password = { kind: 'password', username: 'robot', password: 'wrong' } as const
  const denied = openRemote({ url: registry.url, source: changingSource(password) })
  registry.giveToken = (_seen, response) => {
    const body = '{"details":"incorrect username or password"}'
    response.writeHead(401, json).end(body)
  }
  const reason = /answered 401 to a token request .* as .*: incorrect username or password$/
  await assert.rejects(denied.tags(name), reason)
  assert.match(denied.problem() ?? '', reason)
  await denied.close()
})
