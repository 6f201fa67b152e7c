import assert from 'node:assert/strict'
import { createHmac, createPublicKey, generateKeyPairSync, sign as signWith } from 'node:crypto'
import { suite, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import {
  type Auth,
  createAuth,
  createKeySet,
  createSignedTokens,
  hashPassword,
} from '../../src/auth/auth.ts'
import { fetchPublishedKeys } from '../../src/kubernetes/kubernetes.ts'
import { isRegistryError } from '../../src/oci/errors.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { eventually } from '../support/berth.ts'
import { basicOf } from '../support/canaries.ts'
import { useForwardClock } from '../support/clock.ts'
import { type ClusterIssuer, startClusterIssuer } from '../support/cluster-issuer.ts'
import { startFakeServer } from '../support/fake-server.ts'
import { assemble, audience, claimsOf, tokenOf } from '../support/service-account-tokens.ts'

type Options = Partial<Omit<Parameters<typeof createAuth>[0], 'verifier'>> & {
  readonly issuer?: ClusterIssuer
  readonly expectedIssuer?: string
}

const silent = { info: () => {}, warn: () => {} }
const basic = (token: string, user = 'whoever') => `Basic ${basicOf(user, token)}`
const builder = {
  kind: 'service-account',
  name: 'system:serviceaccount:team-a:builder',
  namespace: 'team-a',
} as const
const keyRequests = ({ requests }: ClusterIssuer) =>
  requests.filter(({ path }) => path === '/openid/v1/jwks').length

/** An issuer that publishes its keys over HTTP, and the auth that accepts its tokens. */
async function accepting(t: TestContext, options: Options = {}) {
  const { issuer = await startClusterIssuer(), expectedIssuer, ...others } = options
  const connections = createOutbound().open({ timeout: 5000 })
  const keys = createKeySet({
    fetchKeys: () => fetchPublishedKeys({ connections, issuer: issuer.url }),
    log: silent,
  })
  const verifier = createSignedTokens({ keys, audiences: [audience], issuer: expectedIssuer })
  const auth = await createAuth({ anonymous: 'none', access: [], verifier, ...others })
  t.after(async () => {
    await verifier.close()
    await connections.destroy()
    await issuer.stop()
  })
  return { auth, issuer, keys, verifier }
}

async function reasonFor(auth: Auth, token: string): Promise<string> {
  const result = await auth.authenticate(`Bearer ${token}`)
  if (result === undefined) return 'no token'
  assert.equal(result.kind, 'rejected', JSON.stringify(result))
  return result.kind === 'rejected' ? result.reason : ''
}

test('a token is accepted as the password of any user, and as a Bearer token', async (t) => {
  const { auth, issuer } = await accepting(t)
  assert.equal(auth.mode, 'required')
  for (const header of [
    basic(tokenOf(issuer)),
    basic(tokenOf(issuer), ''),
    `bearer ${tokenOf(issuer)}`,
  ])
    assert.deepEqual(await auth.authenticate(header), builder)
  assert.equal(await auth.authenticate(undefined), undefined)
  assert.equal(await auth.authenticate(basic('password')), undefined)
})

test('a token is verified once, and its hits need no promise', async (t) => {
  const { auth, issuer } = await accepting(t)
  const token = tokenOf(issuer)
  const herd = await Promise.all(Array.from({ length: 100 }, () => auth.authenticate(basic(token))))
  assert.ok(herd.every((one) => one?.kind === 'service-account'))
  assert.deepEqual(auth.authenticate(basic(token)), builder)
  assert.deepEqual(await auth.authenticate(`Bearer ${token}`), builder)
  assert.deepEqual(auth.authenticate(`Bearer ${token}`), builder)
  assert.ok(keyRequests(issuer) <= 1)
})

test('an ES256 issuer is accepted, too', async (t) => {
  const { auth, issuer } = await accepting(t, { issuer: await startClusterIssuer('ES256') })
  assert.deepEqual(await auth.authenticate(basic(tokenOf(issuer))), builder)
})

test('users with passwords and service accounts log in side by side', async (t) => {
  const htpasswd = `alice:${await hashPassword('p', 4)}\n`
  const { auth, issuer } = await accepting(t, { htpasswd })
  assert.deepEqual(await auth.authenticate(basic('p', 'alice')), { kind: 'user', name: 'alice' })
  assert.equal(await auth.authenticate(basic('q', 'alice')), undefined)
  assert.deepEqual(await auth.authenticate(basic(tokenOf(issuer), 'alice')), builder)
})

test('without service accounts a token is a wrong password', async (t) => {
  const { issuer } = await accepting(t)
  const htpasswd = `alice:${await hashPassword('p', 4)}\n`
  const auth = await createAuth({ htpasswd, anonymous: 'none', access: [] })
  for (const header of [basic(tokenOf(issuer), 'alice'), `Bearer ${tokenOf(issuer)}`])
    assert.equal(await auth.authenticate(header), undefined)
})

suite('a forged token is rejected', () => {
  const attacker = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const byAttacker = (text: string) =>
    signWith('sha256', Buffer.from(text), attacker.privateKey).toString('base64url')
  const byCurve = (text: string) =>
    signWith('sha256', Buffer.from(text), {
      key: curve.privateKey,
      dsaEncoding: 'ieee-p1363',
    }).toString('base64url')

  const full = (issuer: ClusterIssuer) => ({
    iss: issuer.url,
    exp: Math.floor(Date.now() / 1000) + 3600,
    ...claimsOf(),
  })

  test('that has no signature, or that of another token', async (t) => {
    const { auth, issuer } = await accepting(t)
    const claims = full(issuer)
    const { kid } = issuer.jwk()
    const [, , signature = ''] = tokenOf(issuer).split('.')
    const [header = '', , own = ''] = tokenOf(issuer).split('.')
    const other = Buffer.from(JSON.stringify({ ...claims, sub: 'system:serviceaccount:a:b' }))
    for (const token of [
      assemble({ alg: 'none' }, claims),
      assemble({ alg: 'None', kid }, claims),
      assemble({ alg: 'none', kid }, claims, () => signature),
      assemble({ alg: 'RS256', kid }, claims),
      assemble({ alg: 'RS256', kid }, claims, () => signature),
      assemble({ kid }, claims, () => signature),
      `${header}.${other.toString('base64url')}.${own}`,
      `${tokenOf(issuer).slice(0, -6)}AAAAAA`,
    ])
      assert.match(await reasonFor(auth, token), /service account token/)
  })

  test('whose algorithm makes the public key a secret, or a key of another kind', async (t) => {
    const { auth, issuer } = await accepting(t)
    const claims = full(issuer)
    const { kid } = issuer.jwk()
    const pem = createPublicKey({ key: issuer.jwk(), format: 'jwk' })
      .export({ type: 'spki', format: 'pem' })
      .toString()
    const hmac = (secret: string | Buffer) => (text: string) =>
      createHmac('sha256', secret).update(text).digest('base64url')
    const modulus = Buffer.from(String(issuer.jwk().n), 'base64url')
    for (const secret of [pem, pem.trim(), modulus, JSON.stringify(issuer.jwk()), ''])
      assert.match(
        await reasonFor(auth, assemble({ alg: 'HS256', kid }, claims, hmac(secret))),
        /algorithms/,
      )
    for (const alg of ['ES256', 'PS256', 'EdDSA', 'RS1', 'HS256', ['RS256']])
      assert.match(
        await reasonFor(auth, assemble({ alg, kid }, claims, byCurve)),
        /service account token/,
      )
  })

  test('signed by another key, whatever its header says about keys', async (t) => {
    const { auth, issuer } = await accepting(t)
    const jwk = attacker.publicKey.export({ format: 'jwk' })
    const evil = await startFakeServer((_request, response) => {
      response.end(JSON.stringify({ keys: [{ ...jwk, kid: 'evil', alg: 'RS256', use: 'sig' }] }))
    })
    t.after(evil.stop)
    const { kid } = issuer.jwk()
    const before = keyRequests(issuer)
    for (const header of [
      { alg: 'RS256', kid },
      { alg: 'RS256', kid, jwk },
      { alg: 'RS256', jwk },
      { alg: 'RS256', kid: 'evil', jku: `${evil.url}/keys` },
      { alg: 'RS256', kid, x5u: `${evil.url}/certificate` },
      { alg: 'RS256', kid: '../../../../dev/null' },
      { alg: 'RS256', kid: "' OR 1=1 --" },
      { alg: 'RS256', kid: '__proto__' },
      { alg: 'RS256', kid: null },
      { alg: 'RS256', kid: ['first'] },
      { alg: 'RS256', kid: 'k'.repeat(2000) },
      { alg: 'RS256', kid, crit: ['exp'] },
      { alg: 'RS256', kid, b64: false, crit: ['b64'] },
      { alg: 'RS256', kid, zip: 'DEF' },
    ])
      assert.match(
        await reasonFor(auth, assemble(header, full(issuer), byAttacker)),
        /signature|not signed|malformed/,
      )
    assert.equal(evil.requests.length, 0)
    assert.ok(keyRequests(issuer) - before <= 1, 'unknown keys cause at most one request')
  })

  test('even if its issuer has no key with a name', async (t) => {
    const { auth, issuer } = await accepting(t)
    const token = assemble({ alg: 'RS256' }, full(issuer), byAttacker)
    assert.match(await reasonFor(auth, token), /signature/)
  })
})

suite('a token with other claims is rejected:', () => {
  const now = () => Math.floor(Date.now() / 1000)
  const cases: readonly (readonly [name: string, claims: object, reason: RegExp])[] = [
    ['for the API server', { aud: ['https://kubernetes.default.svc'] }, /is for the audience/],
    ['for the audience in another case', { aud: ['Berth'] }, /audience "Berth", not for berth/],
    ['for an audience that contains ours', { aud: ['berth.example'] }, /audience/],
    ['for no audience', { aud: [] }, /audience/],
    ['without audience', { aud: undefined }, /audience and expiry/],
    ['with a strange audience', { aud: { 0: 'berth' } }, /audience and expiry/],
    ['expired', { exp: now() - 100 }, /is expired/],
    ['that never expires', { exp: undefined }, /audience and expiry/],
    ['with a text as expiry', { exp: `${now() + 3600}` }, /audience and expiry/],
    ['not valid yet', { nbf: now() + 3600 }, /is not valid yet/],
    ['from another issuer', { iss: 'https://issuer.example' }, /from another issuer/],
    ['without issuer', { iss: undefined }, /audience and expiry/],
    ['of a user', { sub: 'alice' }, /subject/],
    ['of a node', { sub: 'system:node:node1' }, /subject/],
    ['of another account', { sub: 'system:serviceaccount:team-b:builder' }, /subject/],
    ['with too many parts', { sub: 'system:serviceaccount:team-a:builder:x' }, /subject/],
    ['with another prefix', { sub: 'xsystem:serviceaccount:team-a:builder' }, /subject/],
    ['with a line feed', { sub: 'system:serviceaccount:team-a:builder\n' }, /subject/],
    ['without claims of Kubernetes', { 'kubernetes.io': undefined }, /audience and expiry/],
  ]
  for (const [name, claims, reason] of cases)
    test(name, async (t) => {
      const { auth, issuer } = await accepting(t)
      assert.match(await reasonFor(auth, tokenOf(issuer, {}, claims)), reason)
      assert.deepEqual(await auth.authenticate(basic(tokenOf(issuer))), builder)
    })

  test('of an account whose name is none', async (t) => {
    const { auth, issuer } = await accepting(t)
    for (const account of [
      { namespace: '' },
      { name: '' },
      { namespace: '*' },
      { namespace: 'a.b' },
      { namespace: 'Team' },
      { name: 'a/b' },
      { name: '-a' },
      { namespace: 'a'.repeat(64) },
      { name: 'a'.repeat(254) },
    ])
      assert.match(await reasonFor(auth, tokenOf(issuer, account)), /subject/)
    for (const account of [{ name: 'a.b-c' }, { namespace: '0', name: 'a'.repeat(253) }])
      assert.equal(
        (await auth.authenticate(basic(tokenOf(issuer, account))))?.kind,
        'service-account',
      )
  })

  test('whose audience is the issuer itself, although it is configured', async (t) => {
    const issuer = await startClusterIssuer()
    const { keys } = await accepting(t, { issuer })
    const verifier = createSignedTokens({ keys, audiences: [issuer.url], issuer: undefined })
    const auth = await createAuth({ anonymous: 'none', access: [], verifier })
    assert.match(await reasonFor(auth, tokenOf(issuer, {}, { aud: [issuer.url] })), /aud/)
  })
})

test('clocks may differ by a minute, and one of several audiences is enough', async (t) => {
  const { auth, issuer } = await accepting(t)
  const now = Math.floor(Date.now() / 1000)
  for (const claims of [
    { exp: now - 30 },
    { nbf: now + 30 },
    { aud: audience },
    { aud: ['https://kubernetes.default.svc', audience] },
  ])
    assert.deepEqual(await auth.authenticate(basic(tokenOf(issuer, {}, claims))), builder)
})

test('an issuer that is configured is expected, and no other', async (t) => {
  const { auth, issuer } = await accepting(t, { expectedIssuer: 'https://old.example' })
  assert.match(await reasonFor(auth, tokenOf(issuer)), /from another issuer/)
  const token = tokenOf(issuer, {}, { iss: 'https://old.example' })
  assert.deepEqual(await auth.authenticate(basic(token)), builder)
})

test('a verified token is forgotten when it expires', async (t) => {
  const { auth, issuer } = await accepting(t)
  const token = tokenOf(issuer)
  assert.deepEqual(await auth.authenticate(basic(token)), builder)
  // The dates of a token have whole seconds.
  t.mock.timers.enable({ apis: ['Date'], now: Date.now() + 3600_000 + 58_000 })
  assert.deepEqual(auth.authenticate(basic(token)), builder)
  t.mock.timers.tick(3000)
  assert.match(await reasonFor(auth, token), /is expired/)
})

suite('when the issuer changes its key', () => {
  test('new tokens are accepted at once, and those of the removed key no longer', async (t) => {
    const clock = useForwardClock(t)
    const { auth, issuer, keys } = await accepting(t)
    const old = tokenOf(issuer)
    assert.deepEqual(await auth.authenticate(basic(old)), builder)
    issuer.rotate()
    clock.advance(60_000)
    assert.deepEqual(auth.authenticate(basic(old)), builder, 'nothing is known of the change yet')
    assert.deepEqual(await auth.authenticate(basic(tokenOf(issuer))), builder)
    assert.equal(keys.version(), 2)
    assert.match(await reasonFor(auth, old), /not signed with a key of the issuer/)
  })

  test('tokens with unknown keys cause a request every few seconds, not each', async (t) => {
    const clock = useForwardClock(t)
    const { auth, issuer } = await accepting(t)
    await auth.authenticate(basic(tokenOf(issuer)))
    issuer.rotate({ announce: false })
    const ask = async () => {
      const tokens = Array.from({ length: 30 }, (_, at) => tokenOf(issuer, { name: `n${at}` }))
      for (const token of tokens) assert.match(await reasonFor(auth, token), /not signed/)
    }
    const before = keyRequests(issuer)
    clock.advance(60_000)
    await ask()
    assert.equal(keyRequests(issuer), before + 1)
    clock.advance(60_000)
    await ask()
    assert.equal(keyRequests(issuer), before + 2)
  })

  test('the change is noticed without a token of the new key', async (t) => {
    const issuer = await startClusterIssuer()
    const connections = createOutbound().open({ timeout: 5000 })
    const keys = createKeySet({
      fetchKeys: () => fetchPublishedKeys({ connections, issuer: issuer.url }),
      log: silent,
      maxInterval: 20,
    })
    t.after(async () => {
      await keys.close()
      await connections.destroy()
      await issuer.stop()
    })
    await eventually('the keys are known', () => keys.version() === 1)
    issuer.rotate()
    await eventually('the new key is known', () => keys.version() === 2)
  })
})

suite('while the issuer does not answer', () => {
  const isUnavailable = (error: unknown) =>
    isRegistryError(error, 'UNAVAILABLE') && (error.retryAfter ?? 0) > 0

  test('tokens of known keys are accepted, and it is not said of others that they are wrong', async (t) => {
    const clock = useForwardClock(t)
    const { auth, issuer, verifier } = await accepting(t)
    const token = tokenOf(issuer)
    assert.deepEqual(await auth.authenticate(basic(token)), builder)
    await issuer.stop()
    assert.deepEqual(auth.authenticate(basic(token)), builder)
    const another = tokenOf(issuer, { name: 'another' })
    assert.equal((await auth.authenticate(basic(another)))?.kind, 'service-account')
    issuer.rotate()
    clock.advance(60_000)
    const unknown = tokenOf(issuer)
    await assert.rejects(async () => auth.authenticate(basic(unknown)), isUnavailable)
    assert.notEqual(verifier.problem(), undefined)
    assert.match(await reasonFor(auth, tokenOf(issuer, {}, { exp: 1 })), /expired/)
    await issuer.start()
    clock.advance(60_000)
    assert.deepEqual(await auth.authenticate(basic(unknown)), builder)
    assert.equal(verifier.problem(), undefined)
  })

  test('and has not answered before, no token can be verified', async (t) => {
    const issuer = await startClusterIssuer()
    await issuer.stop()
    const clock = useForwardClock(t)
    const { auth } = await accepting(t, { issuer })
    await assert.rejects(async () => auth.authenticate(basic(tokenOf(issuer))), isUnavailable)
    await issuer.start()
    clock.advance(60_000)
    assert.deepEqual(await auth.authenticate(basic(tokenOf(issuer))), builder)
  })
})

test('an answer that has no keys changes nothing', async (t) => {
  const answers: object[] = []
  const keys = createKeySet({
    fetchKeys: async () => ({ issuer: 'https://issuer.example', keys: answers.shift() ?? {} }),
    log: silent,
    minInterval: 0,
  })
  t.after(keys.close)
  const good = {
    keys: [generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ format: 'jwk' })],
  }
  answers.push(good, { keys: [] }, { keys: 'x' }, [], good)
  while (answers.length > 0) await keys.refresh()
  assert.equal(keys.version(), 1)
  assert.equal(keys.problem(), undefined)
  await keys.refresh()
  assert.notEqual(keys.problem(), undefined)
  assert.notEqual(keys.current(), undefined)
})

suite('huge and odd tokens', () => {
  test('are rejected', async (t) => {
    const { auth, issuer } = await accepting(t)
    for (const size of [5000, 50_000, 1_000_000]) {
      const token = tokenOf(issuer, {}, { padding: 'x'.repeat(size) })
      for (const header of [basic(token), `Bearer ${token}`])
        assert.equal(await auth.authenticate(header), undefined)
    }
    for (const header of [
      'Bearer',
      'Bearer ',
      'Bearer x',
      'Bearer eyJ.',
      'Bearer a b',
      'Bearer ..',
    ])
      assert.equal(await auth.authenticate(header), undefined, header)
  })

  test('with the longest names are accepted', async (t) => {
    const { auth, issuer } = await accepting(t)
    const account = { namespace: 'n'.repeat(63), name: 'a'.repeat(253) }
    const pod = { name: 'p'.repeat(253), uid: 'cc3d5b2c-7bcd-49ef-83bd-3d80d7a4a3d4' }
    const claims = claimsOf(account)
    const kubernetes = { ...claims['kubernetes.io'], pod, node: { name: 'n'.repeat(253) } }
    const token = tokenOf(issuer, account, { 'kubernetes.io': kubernetes, more: 'x'.repeat(500) })
    assert.ok(token.length > 2500)
    assert.equal((await auth.authenticate(basic(token)))?.kind, 'service-account')
  })

  test('of any form never cause another error', async (t) => {
    const { auth } = await accepting(t)
    const part = fc.oneof(
      fc.base64String(),
      fc.json().map((text) => Buffer.from(text).toString('base64url')),
      fc.constant('eyJhbGciOiJSUzI1NiJ9'),
    )
    const token = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('.'))
    await fc.assert(
      fc.asyncProperty(token, async (value) => {
        const result = await auth.authenticate(`Bearer ${value}`)
        assert.ok(result === undefined || result.kind === 'rejected')
      }),
    )
  })
})

test('a flood of forged tokens delays no account whose tokens are valid', async (t) => {
  const { auth, issuer } = await accepting(t)
  await auth.authenticate(basic(tokenOf(issuer)))
  const attacker = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const forged = (at: number) =>
    assemble(
      { alg: 'RS256', kid: issuer.jwk().kid },
      {
        iss: issuer.url,
        exp: Math.floor(Date.now() / 1000) + 600,
        ...claimsOf({ name: `n${at}` }),
      },
      (text) => signWith('sha256', Buffer.from(text), attacker.privateKey).toString('base64url'),
    )
  const tokens = Array.from({ length: 300 }, (_, at) => forged(at))
  const flood = tokens.map(async (token) => {
    try {
      return await reasonFor(auth, token)
    } catch (error) {
      assert.ok(isRegistryError(error, 'TOOMANYREQUESTS'))
      return 'too many'
    }
  })
  const rightly = auth.authenticate(basic(tokenOf(issuer, {}, { jti: 'another' })))
  assert.deepEqual(await rightly, builder)
  const outcomes = await Promise.all(flood)
  assert.ok(outcomes.filter((one) => one === 'too many').length > 200)
  assert.ok(outcomes.filter((one) => /signature/.test(one)).length >= 64)
})

suite('access of service accounts', () => {
  const name = parseRepositoryName
  const rules = [
    { users: ['*'], repositories: ['everyone/**'], actions: ['pull'] },
    {
      users: [],
      groups: ['system:serviceaccounts:team-a'],
      repositories: ['a/**'],
      actions: ['pull'],
    },
    { users: ['system:serviceaccount:team-a:builder'], repositories: ['a/**'], actions: ['push'] },
    { users: ['system:serviceaccount:*:deployer'], repositories: ['d/**'], actions: ['pull'] },
    { users: [], groups: ['system:serviceaccounts'], repositories: ['all/**'], actions: ['pull'] },
    {
      users: [],
      groups: ['system:serviceaccounts:x-*'],
      repositories: ['x/**'],
      actions: ['pull'],
    },
  ] as const
  const accountOf = (namespace: string, account: string) =>
    ({
      kind: 'service-account',
      name: `system:serviceaccount:${namespace}:${account}`,
      namespace,
    }) as const

  test('needs a rule that names them or their groups', async () => {
    const auth = await createAuth({ anonymous: 'none', access: rules })
    const granted: readonly (readonly [
      namespace: string,
      account: string,
      repositories: string,
    ])[] = [
      ['team-a', 'builder', 'a/x all/x'],
      ['team-a', 'default', 'a/x all/x'],
      ['team-a', 'deployer', 'a/x d/x all/x'],
      ['team-b', 'deployer', 'd/x all/x'],
      ['team-ab', 'builder', 'all/x'],
      ['x-1', 'builder', 'all/x x/x'],
    ]
    for (const [namespace, account, expected] of granted) {
      const pulls = ['a/x', 'd/x', 'all/x', 'x/x', 'everyone/x'].filter((repository) =>
        auth.allows(accountOf(namespace, account), 'pull', name(repository), false),
      )
      assert.equal(pulls.join(' '), expected, `${namespace} ${account}`)
    }
    assert.ok(auth.allows(accountOf('team-a', 'builder'), 'push', name('a/x'), false))
    assert.ok(!auth.allows(accountOf('team-a', 'default'), 'push', name('a/x'), false))
    const named = { kind: 'user', name: 'builder' } as const
    assert.ok(!auth.allows(named, 'pull', name('all/x'), false), 'users have no groups')
    assert.ok(auth.allows(named, 'pull', name('everyone/x'), false))
  })

  test('is none without rules, except that of anonymous users', async () => {
    const account = accountOf('team-a', 'builder')
    const closed = await createAuth({ anonymous: 'none', access: [] })
    assert.ok(!closed.allows(account, 'pull', name('a/x'), true))
    const open = await createAuth({ anonymous: 'pull', access: [] })
    assert.ok(open.allows(account, 'pull', name('a/x'), true))
    assert.ok(!open.allows(account, 'pull', name('a/x'), false))
  })
})
