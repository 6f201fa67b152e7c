import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { type Auth, createAuth, hashPassword, type Identity } from '../../src/auth/auth.ts'
import { isRegistryError } from '../../src/oci/errors.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { basicOf } from '../support/canaries.ts'

const header = (user: string, password: string) => `Basic ${basicOf(user, password)}`
const line = async (user: string, password: string, cost = 4) =>
  `${user}:${await hashPassword(password, cost)}\n`
const user = (name: string) => ({ kind: 'user', name })

type AuthOptions = Parameters<typeof createAuth>[0]
const authFor = (htpasswd: string, options: Partial<AuthOptions> = {}): Promise<Auth> =>
  createAuth({ htpasswd, anonymous: 'none', access: [], ...options })

test('a user name with the right password authenticates as that user', async () => {
  const auth = await authFor((await line('alice', 'pass:word')) + (await line('böb', 'ß')))
  assert.deepEqual(await auth.authenticate(header('alice', 'pass:word')), user('alice'))
  assert.deepEqual(await auth.authenticate(header('böb', 'ß')), user('böb'))
  for (const [name, password] of [
    ['alice', 'pass'],
    ['alice', ''],
    ['Alice', 'pass:word'],
    ['nobody', 'pass:word'],
    ['', 'pass:word'],
  ] as const)
    assert.equal(await auth.authenticate(header(name, password)), undefined)
})

test('hashes of all bcrypt versions are accepted', async () => {
  // The test vector of crypt_blowfish for the password U*U; the versions differ in name only.
  const salted = '05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'
  const versions = ['2a', '2b', '2y']
  const auth = await authFor(
    versions.map((version) => `${version}:$${version}$${salted}`).join('\n'),
  )
  for (const version of versions) {
    assert.deepEqual(await auth.authenticate(header(version, 'U*U')), user(version))
    assert.equal(await auth.authenticate(header(version, 'U*V')), undefined)
  }
})

test('a file of 150,000 users is read, and its first and its last user log in', async () => {
  const names = Array.from({ length: 150_000 }, (_, index) => `user${index}`)
  const hashed = (await line('', 'secret')).slice(1)
  const auth = await authFor(names.map((name) => `${name}:${hashed}`).join(''))
  for (const name of ['user0', 'user149999'])
    assert.deepEqual(await auth.authenticate(header(name, 'secret')), user(name))
})

test('a password longer than bcrypt reads is rejected when it is hashed and at login (A102)', async () => {
  const longest = 'x'.repeat(72)
  await assert.rejects(hashPassword(`${longest}x`, 4), /longer than 72 bytes/)
  await assert.rejects(hashPassword('ä'.repeat(37), 4), /longer than 72 bytes/)
  await assert.rejects(hashPassword('', 4), /empty/)
  const auth = await authFor(await line('alice', longest))
  assert.deepEqual(await auth.authenticate(header('alice', longest)), user('alice'))
  assert.equal(await auth.authenticate(header('alice', `${longest}x`)), undefined)
  assert.equal(await auth.authenticate(header('alice', longest.slice(1))), undefined)
})

test('a password that cannot be used for a login is rejected when it is hashed', async () => {
  for (const password of ['two\nlines', 'nul\0', '\u0085', 'tab\t'])
    await assert.rejects(hashPassword(password, 4), /control characters/)
})

test('a verified login is cached', async () => {
  const auth = await authFor(await line('alice', 'p'))
  const first = auth.authenticate(header('alice', 'p'))
  assert.ok(first instanceof Promise)
  await first
  assert.deepEqual(auth.authenticate(header('alice', 'p')), user('alice'))
})

suite('an unknown user takes as much processor time as a known one (A101)', () => {
  const tries = 6
  let auth: Auth

  before(async () => {
    auth = await authFor((await line('cheap', 'p')) + (await line('dear', 'p', 9)))
  })

  /** Processor time of all threads, in milliseconds. */
  const workOf = async (name: string): Promise<number> => {
    const began = process.cpuUsage()
    for (let at = 0; at < tries; at += 1) await auth.authenticate(header(name, `wrong ${at}`))
    const { user: spent, system } = process.cpuUsage(began)
    return (spent + system) / 1000
  }

  test('with the highest cost in the file', async () => {
    const [known, unknown, other] = [
      await workOf('dear'),
      await workOf('nobody'),
      await workOf('x'),
    ]
    for (const work of [unknown, other])
      assert.ok(work > known * 0.5 && work < known * 2, `${work} ms and ${known} ms`)
  })

  test('with as many verifications as the maximum lines of a user', async () => {
    const twice = await authFor(
      (await line('two', 'p', 8)) + (await line('two', 'q', 8)) + (await line('one', 'p', 8)),
    )
    const workWith = async (name: string) => {
      const began = process.cpuUsage()
      for (let at = 0; at < tries; at += 1) await twice.authenticate(header(name, `wrong ${at}`))
      return process.cpuUsage(began).user / 1000
    }
    const [two, one, none] = [
      await workWith('two'),
      await workWith('one'),
      await workWith('nobody'),
    ]
    for (const work of [one, none])
      assert.ok(work > two * 0.6 && work < two * 1.7, `${work} ms and ${two} ms`)
  })

  test('with a password that is too long', async () => {
    const known = await workOf('dear')
    const began = process.cpuUsage()
    for (let at = 0; at < tries; at += 1)
      await auth.authenticate(header('dear', `${'x'.repeat(80)} ${at}`))
    const { user: spent } = process.cpuUsage(began)
    assert.ok(spent / 1000 > known * 0.5)
  })
})

suite('many concurrent wrong logins (A103)', () => {
  const flood = (auth: Auth, count: number, nameOf: (at: number) => string) =>
    Promise.all(
      Array.from({ length: count }, async (_, at) => {
        try {
          return (await auth.authenticate(header(nameOf(at), `wrong ${at}`))) ?? 'refused'
        } catch (error) {
          assert.ok(isRegistryError(error, 'TOOMANYREQUESTS'), String(error))
          assert.ok((error.retryAfter ?? 0) > 0)
          return 'too many'
        }
      }),
    )
  const count = (outcomes: readonly unknown[], outcome: string) =>
    outcomes.filter((one) => one === outcome).length

  test('wait in a limited queue, and cached users do not wait', async () => {
    const auth = await authFor(await line('alice', 'p', 8))
    await auth.authenticate(header('alice', 'p'))
    const outcomes = flood(auth, 300, (at) => `user-${at}`)
    assert.deepEqual(auth.authenticate(header('alice', 'p')), user('alice'))
    let turns = 0
    const watching = { isOver: false }
    void outcomes.then(() => {
      watching.isOver = true
    })
    while (!watching.isOver) {
      await turn()
      turns += 1
    }
    assert.ok(turns > 100, `the event loop turned ${turns} times`)
    assert.ok(count(await outcomes, 'too many') > 200)
    assert.ok(count(await outcomes, 'refused') >= 64)
  })

  test('of one name do not block other names', async () => {
    const auth = await authFor((await line('alice', 'p', 8)) + (await line('bob', 'p', 8)))
    const outcomes = flood(auth, 100, () => 'alice')
    assert.deepEqual(await auth.authenticate(header('bob', 'p')), user('bob'))
    assert.ok(count(await outcomes, 'too many') > 80)
  })

  test('with the same header are verified once', async () => {
    const auth = await authFor(await line('alice', 'p', 8))
    await auth.authenticate(header('alice', 'wrong'))
    const began = process.cpuUsage()
    for (let at = 0; at < 50; at += 1) await auth.authenticate(header('alice', 'wrong'))
    assert.ok(process.cpuUsage(began).user < 50 * 10_000, 'fifty would take a second')
  })
})

suite('many concurrent correct logins (R210)', () => {
  const herd = (auth: Auth, count: number, headerOf: (at: number) => string) =>
    Promise.all(Array.from({ length: count }, (_, at) => auth.authenticate(headerOf(at))))

  test('of one user are verified once and all accepted, also after a reload', async () => {
    const [alice, bob] = [await line('alice', 'p', 10), await line('bob', 'p')]
    const auth = await authFor(alice)
    const began = process.cpuUsage()
    const users = await herd(auth, 150, () => header('alice', 'p'))
    const once = process.cpuUsage(began).user
    assert.ok(users.every((one) => one?.kind === 'user'))
    assert.ok(once < 3_000_000, `150 verifications would take longer than ${once} µs`)
    await auth.reload(alice + bob)
    const known = auth.authenticate(header('alice', 'p'))
    assert.deepEqual(known, user('alice'), 'it is known without a verification')
  })

  test('of 150 users are all accepted', async () => {
    const names = Array.from({ length: 150 }, (_, at) => `user-${at}`)
    const auth = await authFor((await Promise.all(names.map((name) => line(name, 'p')))).join(''))
    const users = await herd(auth, 150, (at) => header(`user-${at}`, 'p'))
    assert.deepEqual(users, names.map(user))
  })

  test('are accepted during a flood of wrong ones, whose answers do not reveal which users exist', async () => {
    const auth = await authFor((await line('alice', 'p', 8)) + (await line('bob', 'p', 8)))
    const wrong = Array.from({ length: 300 }, (_, at) =>
      Promise.resolve(auth.authenticate(header(`x${at}`, 'p'))).catch(() => 'too many'),
    )
    const right = auth.authenticate(header('alice', 'p'))
    await assert.rejects(
      async () => auth.authenticate(header('bob', 'wrong')),
      (error) => isRegistryError(error, 'TOOMANYREQUESTS'),
    )
    assert.deepEqual(await right, user('alice'))
    const refused = (await Promise.all(wrong)).filter((one) => one === 'too many').length
    assert.ok(refused > 200, `${refused} of 300 were refused`)
  })
})

suite('a reload (A104)', () => {
  test('adds new users, and invalidates removed users and changed passwords', async () => {
    const auth = await authFor((await line('alice', 'p')) + (await line('bob', 'old')))
    await auth.authenticate(header('alice', 'p'))
    await auth.authenticate(header('bob', 'old'))
    await auth.reload((await line('bob', 'new')) + (await line('carol', 'p')))
    assert.equal(await auth.authenticate(header('alice', 'p')), undefined)
    assert.equal(await auth.authenticate(header('bob', 'old')), undefined)
    assert.deepEqual(await auth.authenticate(header('bob', 'new')), user('bob'))
    assert.deepEqual(await auth.authenticate(header('carol', 'p')), user('carol'))
  })

  test('with another password applies to a running verification', async () => {
    const auth = await authFor(await line('alice', 'old', 10))
    const verifying = [header('alice', 'old'), header('alice', 'new')].map((one) =>
      auth.authenticate(one),
    )
    await auth.reload(await line('alice', 'new'))
    assert.deepEqual(await Promise.all(verifying), [undefined, user('alice')])
  })

  test('with an invalid file changes nothing', async () => {
    const auth = await authFor(await line('alice', 'p'))
    for (const text of ['', 'alice:{SHA}x', `bob:plain\n${await line('alice', 'q')}`])
      await assert.rejects(auth.reload(text), /htpasswd/)
    assert.deepEqual(await auth.authenticate(header('alice', 'p')), user('alice'))
  })

  test('without the user applies to a running verification', async () => {
    const auth = await authFor(await line('alice', 'p', 10))
    const verifying = auth.authenticate(header('alice', 'p'))
    await auth.reload(await line('bob', 'p'))
    assert.equal(await verifying, undefined)
    assert.equal(await auth.authenticate(header('alice', 'p')), undefined)
  })
})

suite('a request without credentials', () => {
  const name = parseRepositoryName('a/b')
  const all = { users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] } as const

  test('is rejected if users must log in', async () => {
    const auth = await authFor(await line('alice', 'p'))
    assert.equal(auth.mode, 'required')
    for (const nothing of [undefined, header('', ''), 'Bearer x', 'Basic'])
      assert.equal(await auth.authenticate(nothing), undefined)
  })

  test('is anonymous if that is allowed, and may pull from open repositories only', async () => {
    const auth = await authFor(await line('alice', 'p'), { anonymous: 'pull', access: [all] })
    assert.equal(auth.mode, 'optional')
    for (const nothing of [undefined, header('', '')]) {
      const identity = await auth.authenticate(nothing)
      assert.deepEqual(identity, { kind: 'anonymous' })
    }
    assert.equal(await auth.authenticate(header('alice', 'wrong')), undefined)
    assert.equal(await auth.authenticate('Bearer x'), undefined)
    const anonymous: Identity = { kind: 'anonymous' }
    assert.ok(auth.allows(anonymous, 'pull', name, true))
    assert.ok(!auth.allows(anonymous, 'pull', name, false))
    for (const action of ['push', 'delete'] as const)
      assert.ok(!auth.allows(anonymous, action, name, true), action)
  })

  test('has the access of rules for * if there are no users', async () => {
    const open = await createAuth({ anonymous: 'none', access: [] })
    assert.equal(open.mode, 'off')
    const identity = await open.authenticate(header('whoever', 'x'))
    assert.deepEqual(identity, { kind: 'auth-off' })
    assert.ok(open.allows({ kind: 'auth-off' }, 'pull', name, false))
    for (const action of ['push', 'delete'] as const)
      assert.ok(!open.allows({ kind: 'auth-off' }, action, name, true), `${action} without a rule`)
    const ruled = await createAuth({
      anonymous: 'none',
      access: [{ ...all, repositories: ['other/**'] }],
    })
    assert.ok(!ruled.allows({ kind: 'auth-off' }, 'pull', name, true))
    const byName = await createAuth({ anonymous: 'none', access: [{ ...all, users: ['alice'] }] })
    assert.ok(!byName.allows({ kind: 'auth-off' }, 'pull', name, true))
  })

  test('may push if the rules for * are to apply to everyone', async () => {
    const push = { ...all, actions: ['push'] } as const
    const auth = await createAuth({ anonymous: 'rules', access: [push] })
    const identity = await auth.authenticate(undefined)
    assert.deepEqual(identity, { kind: 'auth-off' })
    assert.ok(auth.allows({ kind: 'auth-off' }, 'push', name, false))
    assert.ok(!auth.allows({ kind: 'auth-off' }, 'delete', name, false))
  })

  test('never has more access than a user who logs in', async () => {
    const others = [{ ...all, users: ['bob'] }]
    const auth = await authFor(await line('alice', 'p'), { anonymous: 'pull', access: others })
    const alice: Identity = { kind: 'user', name: 'alice' }
    assert.ok(auth.allows(alice, 'pull', name, true))
    assert.ok(!auth.allows(alice, 'pull', name, false))
    assert.ok(!auth.allows(alice, 'push', name, true))
    const closed = await authFor(await line('alice', 'p'), { access: others })
    assert.ok(!closed.allows(alice, 'pull', name, true), 'nothing is open without anonymous: pull')
  })

  test('is anonymous if there are no users and anonymous users may pull', async () => {
    const auth = await createAuth({ anonymous: 'pull', access: [] })
    assert.equal(auth.mode, 'off')
    assert.deepEqual(await auth.authenticate(undefined), { kind: 'anonymous' })
    assert.deepEqual(await auth.authenticate(header('a', 'b')), { kind: 'anonymous' })
  })
})
