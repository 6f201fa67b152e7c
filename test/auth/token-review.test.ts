import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { createAuth, createReviewedTokens } from '../../src/auth/auth.ts'
import { createApiClient, fetchClusterKeys, reviewToken } from '../../src/kubernetes/kubernetes.ts'
import { isRegistryError } from '../../src/oci/errors.ts'
import { basicOf, createCanaries } from '../support/canaries.ts'
import { createAuthority } from '../support/certificates.ts'
import { startClusterIssuer } from '../support/cluster-issuer.ts'
import { startFakeServer } from '../support/fake-server.ts'
import { audience, tokenOf } from '../support/service-account-tokens.ts'

type Review = { readonly spec: { readonly token: string; readonly audiences: readonly string[] } }

/** An API server that answers TokenReviews, and the client of a pod. */
async function startApi(t: TestContext) {
  const authority = await createAuthority('cluster')
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  await writeFile(join(directory, 'ca.crt'), await readFile(authority.file))
  await writeFile(join(directory, 'token'), 'own-token\n')
  const answers = new Map<string, object>()
  const api = { status: 201, answers }
  const server = await startFakeServer(
    ({ method, path, headers, body }, response) => {
      assert.equal(headers.authorization, 'Bearer own-token')
      response.writeHead(api.status, { 'content-type': 'application/json' })
      if (method !== 'POST' || path !== '/apis/authentication.k8s.io/v1/tokenreviews')
        return void response.end('{}')
      const { token } = (JSON.parse(body) as Review).spec
      const status = answers.get(token) ?? { error: `[invalid token ${token}]` }
      response.end(JSON.stringify({ kind: 'TokenReview', status }))
    },
    { tls: await authority.issue(['IP:127.0.0.1']) },
  )
  const client = createApiClient({ server: server.host, directory })
  const issuer = await startClusterIssuer()
  t.after(async () => {
    await client.close()
    await server.stop()
    await issuer.stop()
    await authority.remove()
    await rm(directory, { recursive: true })
  })
  const logged: unknown[] = []
  const verifier = createReviewedTokens({
    review: (token, audiences) => reviewToken(client, token, audiences),
    audiences: [audience],
    log: { warn: (...fields) => logged.push(fields) },
    close: client.close,
  })
  const auth = await createAuth({ anonymous: 'none', access: [], verifier })
  const login = (token: string) => auth.authenticate(`Basic ${basicOf('x', token)}`)
  const reviews = () => server.requests.filter(({ method }) => method === 'POST').length
  return { api, auth, client, issuer, login, logged, reviews, server, verifier }
}

const username = 'system:serviceaccount:team-a:builder'
const valid = { authenticated: true, user: { username }, audiences: [audience] }
const builder = { kind: 'service-account', name: username, namespace: 'team-a' }
/** The clock that is never set goes on by so many milliseconds; the other one is mocked apart from it. */
function passTime(t: TestContext, milliseconds: number): void {
  const before = performance.now.bind(performance)
  t.mock.method(performance, 'now', () => before() + milliseconds)
}
const kindOf = async (result: unknown) => ((await result) as { kind: string } | undefined)?.kind

suite('a token that the API server reviews', () => {
  test('is the service account that it says, and is asked about once', async (t) => {
    const { api, issuer, login, reviews, server } = await startApi(t)
    const token = tokenOf(issuer)
    api.answers.set(token, valid)
    assert.deepEqual(await Promise.all([login(token), login(token)]), [builder, builder])
    assert.deepEqual(login(token), builder)
    assert.equal(reviews(), 1)
    const { spec } = JSON.parse(server.requests[0]?.body ?? '') as Review
    assert.deepEqual(spec, { token, audiences: [audience] })
  })

  test('is rejected if it is not valid, not for us, or not of a service account', async (t) => {
    const { api, issuer, login } = await startApi(t)
    const answers = [
      { ...valid, authenticated: false },
      { ...valid, authenticated: undefined },
      { ...valid, audiences: [] },
      { ...valid, audiences: undefined },
      { ...valid, audiences: ['another'] },
      { ...valid, user: { username: 'admin' } },
      { ...valid, user: undefined },
      {},
    ]
    for (const [at, answer] of answers.entries()) {
      const token = tokenOf(issuer, {}, { jti: `${at}` })
      api.answers.set(token, answer)
      assert.equal(await kindOf(login(token)), 'rejected', JSON.stringify(answer))
    }
  })

  test('is not shown to the API server if its claims are wrong', async (t) => {
    const { issuer, login, reviews } = await startApi(t)
    for (const claims of [{ aud: ['x'] }, { exp: 1 }, { sub: 'alice' }])
      assert.equal(await kindOf(login(tokenOf(issuer, {}, claims))), 'rejected')
    assert.equal(reviews(), 0)
  })

  test('becomes invalid within two minutes after its pod was deleted, even if the clock is set back', async (t) => {
    const { api, issuer, login, reviews } = await startApi(t)
    const token = tokenOf(issuer)
    api.answers.set(token, valid)
    assert.deepEqual(await login(token), builder)
    api.answers.delete(token)
    passTime(t, 119_000)
    assert.deepEqual(login(token), builder)
    passTime(t, 2000)
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() - 3600_000 })
    assert.equal(await kindOf(login(token)), 'rejected')
    assert.equal(reviews(), 2)
  })

  test('stays valid until it expires while the API server does not answer', async (t) => {
    const { api, issuer, login, logged, server, verifier } = await startApi(t)
    const token = tokenOf(issuer)
    api.answers.set(token, valid)
    assert.deepEqual(await login(token), builder)
    await server.stop()
    passTime(t, 600_000)
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 600_000 })
    assert.deepEqual(await login(token), builder)
    assert.deepEqual(login(token), builder, 'and is not asked about for some seconds')
    assert.notEqual(verifier.problem(), undefined)
    await assert.rejects(
      async () => login(tokenOf(issuer, { name: 'another' })),
      (error) => isRegistryError(error, 'UNAVAILABLE'),
    )
    assert.equal(logged.length, 1, 'a lasting problem is logged once')
    t.mock.timers.tick(3600_000)
    assert.equal(await kindOf(login(token)), 'rejected')
  })

  test('cannot be reviewed without permission, and the message says so without the token', async (t) => {
    const { api, issuer, login, logged, verifier } = await startApi(t)
    const canaries = createCanaries()
    const token = tokenOf(issuer)
    canaries.add(token)
    api.status = 403
    await assert.rejects(
      async () => login(token),
      (error: Error) => {
        assert.ok(isRegistryError(error, 'UNAVAILABLE'))
        assert.doesNotMatch(error.message, /eyJ/)
        return true
      },
    )
    assert.match(verifier.problem() ?? '', /403 to a TokenReview; .*create tokenreviews/)
    await canaries.assertUnseen({ texts: [String(verifier.problem()), JSON.stringify(logged)] })
  })
})

test("the API server's keys are not readable: the message says what to bind", async (t) => {
  const { api, client } = await startApi(t)
  api.status = 403
  await assert.rejects(fetchClusterKeys(client), /403 to GET .*issuer-discovery/)
})
