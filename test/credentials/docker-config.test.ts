import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { createDockerConfigSource } from '../../src/credentials/docker-config.ts'
import { basicOf, createCanaries } from '../support/canaries.ts'

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

/** Rejects with this message, and without any of the secrets in it. */
async function refuse(content: unknown, message: RegExp, host?: string): Promise<void> {
  const error: unknown = await read(content, host).then(
    () => undefined,
    (thrown) => thrown,
  )
  assert.ok(error instanceof Error)
  assert.match(error.message, message)
  await canaries.assertUnseen({ texts: [error.message] })
}

test('"auth" alone is enough, as in an imagePullSecret', async () => {
  const password = canaries.password('robot')
  const { credential, identity, refreshAfter } = await read({
    auths: { 'ghcr.io': { auth: basicOf('robot', password) } },
  })
  assert.deepEqual(credential, { kind: 'password', username: 'robot', password })
  assert.equal(identity, 'robot')
  assert.ok(refreshAfter !== undefined && refreshAfter <= 60_000, 'a changed file counts soon')
})

test('a user name and a password without "auth" are enough', async () => {
  const password = canaries.password('robot')
  const { credential } = await read({ auths: { 'ghcr.io': { username: 'robot', password } } })
  assert.deepEqual(credential, { kind: 'password', username: 'robot', password })
})

test('whatever user and password "auth" holds, they are read, colons in the password included', async () => {
  const username = fc.string({ minLength: 1 }).filter((text) => !text.includes(':'))
  const password = fc.string().filter((text) => !text.endsWith('\0'))
  await fc.assert(
    fc.asyncProperty(username, password, async (user, secret) => {
      const { credential } = await read({ auths: { 'ghcr.io': { auth: basicOf(user, secret) } } })
      assert.deepEqual(credential, { kind: 'password', username: user, password: secret })
    }),
    { numRuns: 50 },
  )
})

test('NUL bytes that docker pads with are taken off', async () => {
  const { credential } = await read({ auths: { 'ghcr.io': { auth: basicOf('u', 'p\0\0') } } })
  assert.deepEqual(credential, { kind: 'password', username: 'u', password: 'p' })
})

test('a host is found as docker has written it over the years', async () => {
  const auth = basicOf('u', 'p')
  for (const key of [
    'ghcr.io',
    'https://ghcr.io',
    'https://ghcr.io/',
    'https://ghcr.io/v1/',
    'https://ghcr.io/v2/',
  ])
    assert.equal((await read({ auths: { [key]: { auth } } })).identity, 'u', key)
})

test("Docker Hub is found by the name that its index had, whichever of Hub's hosts is asked for", async () => {
  const auths = { 'https://index.docker.io/v1/': { auth: basicOf('hub', 'p') } }
  for (const host of ['docker.io', 'index.docker.io', 'registry-1.docker.io'])
    assert.equal((await read({ auths }, host)).identity, 'hub', host)
  await refuse({ auths }, /no entry for ghcr\.io/)
})

test('another host, or the same on another port, is no entry', async () => {
  const auth = basicOf('u', canaries.password('u'))
  const auths = { 'ghcr.io': { auth }, 'evil-ghcr.io': { auth }, 'ghcr.io.evil.org': { auth } }
  await refuse({ auths }, /has no entry for ghcr\.io:5000 under "auths"/, 'ghcr.io:5000')
  await refuse({ auths: {} }, /has no entry/)
  await refuse({}, /has no entry/)
})

test('an entry without a password, or with an identity token, is an error that says so', async () => {
  await refuse({ auths: { 'ghcr.io': {} } }, /has neither "auth" nor "username" and "password"/)
  await refuse({ auths: { 'ghcr.io': { username: 'u' } } }, /has neither/)
  await refuse({ auths: { 'ghcr.io': { auth: '' } } }, /has neither/)
  await refuse({ auths: { 'ghcr.io': { auth: basicOf('', 'x') } } }, /has neither/)
  const identitytoken = canaries.secret('identity')
  await refuse({ auths: { 'ghcr.io': { identitytoken } } }, /identity token, which this version/)
})

test('a file that is no configuration is an error, which shows nothing of it', async () => {
  // The parser shows some ten characters around what it does not like.
  const password = canaries.secret('password')
  for (const content of [password, `{"auths":x"${password}"`, `{"auths":{"ghcr.io":"${password}`]) {
    const error = await read(content).catch((thrown: unknown) => String(thrown))
    assert.equal(error, `Error: ${file} is not JSON`)
  }
  const auth = 7
  await refuse({ auths: { 'ghcr.io': { auth } } }, /not what it should be: auths\.ghcr\.io\.auth/)
  await refuse([password], /not what it should be/)
})

test('a file that is not there is an error', async () => {
  const source = createDockerConfigSource({ file: join(directory, 'missing'), host: 'ghcr.io' })
  await assert.rejects(source.fetch(), /ENOENT/)
  assert.equal(source.identity(), `the entry for ghcr.io in ${join(directory, 'missing')}`)
})

test('a file that changed counts at the next fetch', async () => {
  await read({ auths: { 'ghcr.io': { auth: basicOf('before', 'p') } } })
  const source = createDockerConfigSource({ file, host: 'ghcr.io' })
  await source.fetch()
  assert.equal(source.identity(), 'before')
  await writeFile(file, JSON.stringify({ auths: { 'ghcr.io': { auth: basicOf('after', 'p') } } }))
  await source.fetch()
  assert.equal(source.identity(), 'after')
})
