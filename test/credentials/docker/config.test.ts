import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import fc from 'fast-check'
import { CredentialError } from '../../../src/credentials/credential-error.ts'
import { createDockerConfigSource } from '../../../src/credentials/docker/config.ts'
import { keyFor } from '../../../src/credentials/docker/hosts.ts'
import { keepFresh } from '../../../src/credentials/keep-fresh.ts'
import { basicOf, createCanaries } from '../../support/canaries.ts'
import { useClock } from '../../support/clock.ts'
import { cpuTimeOf } from '../../support/cpu-time.ts'
import { helperPrograms } from '../../support/helper-programs.ts'
import { settle, tellingTelemetry } from '../../support/remotes.ts'

const canaries = createCanaries()
let directory: string
let file: string

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-docker-config-'))
  file = join(directory, 'config.json')
})
after(() => rm(directory, { recursive: true, force: true }))

async function read(content: unknown, host = 'ghcr.io') {
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content))
  const source = createDockerConfigSource({ file, host })
  const { credential, refreshAfter } = await source.fetch()
  return { credential, refreshAfter, identity: source.identity() }
}

/** Rejects with this message, and without any of the secrets in it. The advice. */
async function refuse(content: unknown, message: RegExp, host?: string): Promise<string> {
  const error: unknown = await read(content, host).then(
    () => undefined,
    (thrown) => thrown,
  )
  assert.ok(error instanceof CredentialError)
  assert.match(error.message, message)
  const { advice = '' } = error
  assert.notEqual(advice, '')
  await canaries.assertUnseen({ texts: [error.message, advice] })
  return advice
}

test('"auth" alone is enough, as in an imagePullSecret', async () => {
  const password = canaries.password('robot')
  const { credential, identity, refreshAfter } = await read({
    auths: { 'ghcr.io': { auth: basicOf('robot', password) } },
  })
  assert.deepEqual(credential, { kind: 'password', username: 'robot', password })
  assert.equal(identity, 'robot')
  assert.ok(
    refreshAfter !== undefined && refreshAfter <= 60_000,
    'a changed file takes effect soon',
  )
})

test('a user name and a password without "auth" are enough', async () => {
  const password = canaries.password('robot')
  const { credential } = await read({ auths: { 'ghcr.io': { username: 'robot', password } } })
  assert.deepEqual(credential, { kind: 'password', username: 'robot', password })
})

test('any user and password in "auth" are read, including colons in the password', async () => {
  const username = fc.string({ minLength: 1 }).filter((text) => !text.includes(':'))
  const password = fc.string({ minLength: 1 }).filter((text) => !text.endsWith('\0'))
  await fc.assert(
    fc.asyncProperty(username, password, async (user, secret) => {
      const { credential } = await read({ auths: { 'ghcr.io': { auth: basicOf(user, secret) } } })
      assert.deepEqual(credential, { kind: 'password', username: user, password: secret })
    }),
    { numRuns: 50 },
  )
})

test('NUL bytes that docker pads with are removed', async () => {
  const { credential } = await read({ auths: { 'ghcr.io': { auth: basicOf('u', 'p\0\0') } } })
  assert.deepEqual(credential, { kind: 'password', username: 'u', password: 'p' })
})

test("a host is found in each of docker's spellings", async () => {
  const auth = basicOf('u', 'p')
  for (const key of [
    'ghcr.io',
    'https://ghcr.io',
    'https://ghcr.io/',
    'https://ghcr.io/v1/',
    'https://ghcr.io/v2/',
    'http://ghcr.io',
    'http://ghcr.io/v2/',
  ])
    assert.equal((await read({ auths: { [key]: { auth } } })).identity, 'u', key)
})

test('Docker Hub is found by its legacy name for each of its hosts', async () => {
  const auths = { 'https://index.docker.io/v1/': { auth: basicOf('hub', 'p') } }
  for (const host of ['docker.io', 'index.docker.io', 'registry-1.docker.io'])
    assert.equal((await read({ auths }, host)).identity, 'hub', host)
  await refuse({ auths }, /no entry for ghcr\.io/)
})

test('an entry for another host or port does not match', async () => {
  const auth = basicOf('u', canaries.password('u'))
  const auths = { 'ghcr.io': { auth }, 'evil-ghcr.io': { auth }, 'ghcr.io.evil.org': { auth } }
  await refuse({ auths }, /has no entry for ghcr\.io:5000 under "auths"/, 'ghcr.io:5000')
  await refuse({ auths: {} }, /has no entry/)
  await refuse({}, /has no entry/)
})

test('an entry without a password is an error', async () => {
  await refuse({ auths: { 'ghcr.io': {} } }, /has neither "auth" nor "username" and "password"/)
  await refuse({ auths: { 'ghcr.io': { username: 'u' } } }, /has neither/)
  await refuse({ auths: { 'ghcr.io': { auth: '' } } }, /has neither/)
  await refuse({ auths: { 'ghcr.io': { auth: basicOf('', 'x') } } }, /has neither/)
  // As of kubectl create secret docker-registry --docker-password=$UNSET.
  const kubectl = { username: 'robot', password: '', auth: basicOf('robot', '') }
  for (const entry of [kubectl, { auth: kubectl.auth }, { username: 'robot', password: '' }])
    await refuse({ auths: { 'ghcr.io': entry } }, /has an empty password for robot/)
})

test('an identity token is returned with the user name beside it, if any', async () => {
  const identitytoken = canaries.secret('identity')
  const guid = '00000000-0000-0000-0000-000000000000'
  for (const [entry, username] of [
    [{}, ''],
    [{ auth: basicOf(guid, '') }, guid],
    [{ auth: basicOf(guid, 'ignored') }, guid],
    [{ username: guid }, guid],
  ] as const) {
    const { credential } = await read({ auths: { 'ghcr.io': { ...entry, identitytoken } } })
    assert.deepEqual(credential, { kind: 'identity-token', username, token: identitytoken })
  }
})

test('a registry token is an error whose advice says what to use', async () => {
  const registrytoken = canaries.secret('registry')
  const auths = { 'ghcr.io': { registrytoken } }
  await refuse({ auths }, /is a registry token, which Berth does not use/)
})

test('a file that is not a configuration is an error without its text', async () => {
  // The parser shows some ten characters around what it does not like.
  const password = canaries.secret('password')
  for (const content of [password, `{"auths":x"${password}"`, `{"auths":{"ghcr.io":"${password}`]) {
    const error = await read(content).catch((thrown: unknown) => String(thrown))
    assert.equal(error, `CredentialError: ${file} is not valid JSON`)
  }
  const auth = 7
  await refuse(
    { auths: { 'ghcr.io': { auth } } },
    /not have the expected content: auths\.ghcr\.io\.auth/,
  )
  await refuse([password], /does not have the expected content/)
  await refuse({ auths: {}, credHelpers: { 'ghcr.io': 7 } }, /credHelpers\.ghcr\.io/)
})

test('a missing file is an error', async () => {
  const source = createDockerConfigSource({ file: join(directory, 'missing'), host: 'ghcr.io' })
  await assert.rejects(source.fetch(), /ENOENT/)
  assert.equal(source.identity(), `the entry for ghcr.io in ${join(directory, 'missing')}`)
})

test('a changed file takes effect at the next fetch', async () => {
  await read({ auths: { 'ghcr.io': { auth: basicOf('before', 'p') } } })
  const source = createDockerConfigSource({ file, host: 'ghcr.io' })
  await source.fetch()
  assert.equal(source.identity(), 'before')
  await writeFile(file, JSON.stringify({ auths: { 'ghcr.io': { auth: basicOf('after', 'p') } } }))
  await source.fetch()
  assert.equal(source.identity(), 'after')
})

test('the older format without "auths" is read', async () => {
  const entry = { auth: basicOf('old', 'p'), email: 'x@example.org' }
  assert.equal((await read({ 'ghcr.io': entry })).identity, 'old')
  assert.equal((await read({ 'https://ghcr.io/v1/': entry })).identity, 'old')
  await refuse({ detachKeys: 'ctrl-e', HttpHeaders: { a: 'b' } }, /no entry for ghcr\.io/)
})

test('a missing entry is an error whose advice lists the existing entries', async () => {
  const auth = basicOf('u', canaries.password('u'))
  const several = Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f'].map((host) => [host, { auth }]))
  assert.match(
    await refuse({ auths: several }, /no entry/),
    /it has entries for a, b, c, d, e\. Add one: docker login ghcr\.io/,
  )
  assert.match(await refuse({ auths: {} }, /no entry/), /entries for no host/)
})

test("podman's entry for a namespace is not used for the whole registry", async () => {
  const auths = { 'ghcr.io/team': { auth: basicOf('team', 'p') }, 'ghcr.io/team/app': {} }
  const advice = await refuse({ auths }, /no entry for ghcr\.io/)
  assert.match(
    advice,
    /it has an entry for ghcr\.io\/team, ghcr\.io\/team\/app, but .* move the entry to "ghcr\.io"/,
  )
  const whole = { ...auths, 'ghcr.io': { auth: basicOf('all', 'p') } }
  assert.equal((await read({ auths: whole })).identity, 'all')
})

describe('patterns of the kubelet', () => {
  const ecr = '123456789012.dkr.ecr.us-east-1.amazonaws.com'

  test('match label by label, and on the same port', () => {
    for (const [key, host, isMatch] of [
      ['*.dkr.ecr.us-east-1.amazonaws.com', ecr, true],
      ['https://*.dkr.ecr.us-east-1.amazonaws.com/', ecr, true],
      ['*.dkr.ecr.*.amazonaws.com', ecr, true],
      ['*.amazonaws.com', ecr, false],
      ['*', ecr, false],
      ['*.io', 'ghcr.io', true],
      ['*', 'localhost', true],
      ['*.io', 'ghcr.io:5000', false],
      ['*.io:5000', 'ghcr.io:5000', true],
      ['*.io:5000', 'ghcr.io', false],
      ['g?cr.io', 'ghcr.io', true],
      ['g?cr.io', 'gcr.io', false],
      ['gh*.io', 'gh.io', true],
      ['*.io/team', 'ghcr.io', false],
    ] as const)
      assert.equal(keyFor(host, [key]), isMatch ? key : undefined, `${key} ${host}`)
  })

  test('have lower priority than the host itself and than a more specific pattern', () => {
    const keys = ['*.*', '*.io', 'gh*.io', 'https://ghcr.io']
    assert.equal(keyFor('ghcr.io', keys), 'https://ghcr.io')
    assert.equal(keyFor('ghcr.io', keys.slice(0, 3)), 'gh*.io')
    assert.equal(keyFor('quay.io', keys), '*.io')
  })

  test('match a host that they were made from, and none with more labels', () => {
    const label = fc.stringMatching(/^[a-z0-9-]{1,12}$/)
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 6 }), fc.nat(), (labels, seed) => {
        const host = labels.join('.')
        const pattern = labels.map((text, at) => ((seed >> at) & 1 ? '*' : text.replace(/.$/, '?')))
        assert.equal(keyFor(host, [pattern.join('.')]), pattern.join('.'))
        assert.equal(keyFor(`more.${host}`, [pattern.join('.')]), undefined)
      }),
    )
  })

  test('take little time with many stars', async () => {
    const key = `${'*a'.repeat(2000)}*`
    const time = await cpuTimeOf(() => {
      assert.equal(keyFor('a'.repeat(250), [key]), undefined)
    })
    assert.ok(time < 1000, `${time} ms`)
  })
})

describe('helpers', () => {
  const auth = basicOf('written', 'p')

  test("the helper for the host precedes the default one, and both precede the file's entry", async (t) => {
    const programs = await helperPrograms(t)
    await programs.answer('one', 'by-one', 'p')
    await programs.answer('all', 'by-all', 'p')
    const all = { auths: { 'ghcr.io': { auth } }, credsStore: 'all' }
    const one = { ...all, credHelpers: { 'ghcr.io': 'one', 'quay.io': 'missing' } }
    const first = await read(one)
    assert.deepEqual([first.identity, first.refreshAfter], ['by-one', 300_000])
    assert.equal((await read(all)).identity, 'by-all')
    assert.equal((await read({ ...one, credHelpers: { 'quay.io': 'one' } })).identity, 'by-all')
    assert.equal((await read({ auths: all.auths, credsStore: '' })).identity, 'written')
    assert.deepEqual(await programs.invocations(), ['get ghcr.io', 'get ghcr.io', 'get ghcr.io'])
  })

  test('get the name that docker or podman would pass', async (t) => {
    const programs = await helperPrograms(t)
    await programs.answer('all', 'u', 'p')
    const hub = 'registry-1.docker.io'
    await read({ credsStore: 'all' }, hub)
    await read({ credHelpers: { 'https://index.docker.io/v1/': 'all' } }, hub)
    await read({ credHelpers: { 'docker.io': 'all' } }, hub)
    const legacy = 'get https://index.docker.io/v1/'
    assert.deepEqual(await programs.invocations(), [legacy, legacy, 'get docker.io'])
  })

  test("without a credential fall back to the file's entry, or fail", async (t) => {
    const programs = await helperPrograms(t)
    await programs.write('none', "echo 'credentials not found in native keychain'; exit 1")
    const auths = { 'ghcr.io': { auth } }
    assert.equal((await read({ auths, credsStore: 'none' })).identity, 'written')
    const message = /docker-credential-none, which .* names, has no credential for ghcr\.io/
    await refuse({ auths: { 'ghcr.io': {} }, credsStore: 'none' }, message)
    await refuse({ credHelpers: { 'ghcr.io': 'none' } }, message)
  })

  test('that fail are an error even if the file has an entry', async (t) => {
    await helperPrograms(t)
    const auths = { 'ghcr.io': { auth } }
    await refuse({ auths, credsStore: 'desktop' }, /docker-credential-desktop is not on the PATH/)
    await refuse(
      { auths, credHelpers: { 'ghcr.io': '../x' } },
      /is not a valid name of a credential helper/,
    )
  })
})

describe('a file that changes', () => {
  const { telemetry } = tellingTelemetry()
  const passwordIn = (credential: unknown) => (credential as { password: string }).password
  const of = (password: string) =>
    JSON.stringify({ auths: { 'ghcr.io': { auth: basicOf('u', password) } } })

  test('takes effect after 30 seconds, and immediately when the upstream rejects the credential', async (t) => {
    const clock = useClock(t, ['setTimeout'])
    await writeFile(file, of('first'))
    const source = createDockerConfigSource({ file, host: 'ghcr.io' })
    const credentials = keepFresh(source, { upstream: 'up', telemetry })
    const first = await credentials.current()
    await writeFile(file, of('second'))
    clock.advance(2000)
    assert.equal(passwordIn(await credentials.renew(first)), 'second')
    await writeFile(file, of('third'))
    clock.advance(30_000)
    await settle()
    assert.equal(passwordIn(await credentials.current()), 'third')
    credentials.close()
  })

  test('through the symbolic link of a Kubernetes volume is read again', async (t) => {
    const clock = useClock(t, ['setTimeout'])
    const volume = await mkdtemp(join(directory, 'volume-'))
    const publish = async (version: string) => {
      await mkdir(join(volume, version))
      await writeFile(join(volume, version, 'config.json'), of(version))
      await symlink(version, join(volume, '..data_tmp'))
      await rename(join(volume, '..data_tmp'), join(volume, '..data'))
    }
    await publish('..2026_1')
    await symlink('..data/config.json', join(volume, 'config.json'))
    const source = createDockerConfigSource({ file: join(volume, 'config.json'), host: 'ghcr.io' })
    const credentials = keepFresh(source, { upstream: 'up', telemetry })
    assert.equal(passwordIn(await credentials.current()), '..2026_1')
    await publish('..2026_2')
    await rm(join(volume, '..2026_1'), { recursive: true })
    clock.advance(30_000)
    await settle()
    assert.equal(passwordIn(await credentials.current()), '..2026_2')
    credentials.close()
  })

  test('and is incomplete is reported, and the last credential is used until it is complete', async (t) => {
    const clock = useClock(t, ['setTimeout'])
    await writeFile(file, of('first'))
    const source = createDockerConfigSource({ file, host: 'ghcr.io' })
    const credentials = keepFresh(source, { upstream: 'up', telemetry })
    const first = await credentials.current()
    await writeFile(file, of('second').slice(0, 30))
    clock.advance(30_000)
    await settle()
    assert.equal(await credentials.current(), first)
    assert.match(
      credentials.problem() ?? '',
      /config\.json is not valid JSON; set upstreams\[\]\.credentials\.file/,
    )
    await writeFile(file, of('second'))
    clock.advance(1000)
    await settle()
    assert.equal(passwordIn(await credentials.current()), 'second')
    assert.equal(credentials.problem(), undefined)
    credentials.close()
  })
})
