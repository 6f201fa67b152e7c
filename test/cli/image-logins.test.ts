import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { type Berth, removeBerth, startBerth } from '../support/berth.ts'
import { runCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { type Answering, sendJson, startWebServer } from '../support/web-server.ts'

const token = 'canary-token-51f0'
const actions = ['pull', 'push', 'delete']

async function serverFor(t: TestContext, answer: Answering) {
  const server = await startWebServer(answer)
  t.after(server.close)
  return { ...server, host: `127.0.0.1:${server.port}` }
}

async function fileFor(t: TestContext, content: string): Promise<string> {
  const file = join(await ownDirectory(t), 'secret')
  await writeFile(file, content)
  return file
}

/** Accepts the token alone; anything else is sent to a token endpoint, which must not see it. */
async function tokenRegistry(t: TestContext) {
  const realm = await serverFor(t, (_request, response) => sendJson(response, { token: 'other' }))
  const registry = await serverFor(t, ({ headers }, response) => {
    if (headers['authorization'] === `Bearer ${token}`) return sendJson(response, { tags: ['v1'] })
    response.setHeader('www-authenticate', `Bearer realm="${realm.url}/token",service="s"`)
    sendJson(response, { errors: [{ code: 'UNAUTHORIZED' }] }, 401)
  })
  return { realm, registry, list: ['image', 'list', `${registry.host}/team/app`] }
}

test('a token comes from a file or from standard input, and is sent as it is', async (t) => {
  const { list, realm } = await tokenRegistry(t)
  const file = await fileFor(t, `${token}\n`)
  const fromFile = await runCommand([...list, '--token-file', file])
  assert.deepEqual(fromFile, { status: 0, signal: null, stdout: 'v1\n', stderr: '' })
  const fromInput = await runCommand([...list, '--token-file', '-'], { input: `${token}\n` })
  assert.equal(fromInput.stdout, 'v1\n')
  assert.equal(realm.requests.length, 0)
})

test('a token that is refused is sent to no token endpoint, and not shown', async (t) => {
  const { list, realm, registry } = await tokenRegistry(t)
  const wrong = await runCommand([...list, '--token-file', '-'], { input: 'canary-wrong' })
  assert.equal(wrong.status, 1)
  assert.match(wrong.stderr, /the token was denied access .* 401; use a token that has not expired/)
  assert.doesNotMatch(wrong.stderr, /canary/)
  assert.equal(realm.requests.length, 0)
  assert.ok(registry.requests.length > 0)
})

test('a command without a login says how to log in', async (t) => {
  const registry = await serverFor(t, (_request, response) => {
    response.setHeader('www-authenticate', 'Basic realm="registry"')
    sendJson(response, { errors: [{ code: 'UNAUTHORIZED' }] }, 401)
  })
  const { stderr } = await runCommand(['image', 'list', `${registry.host}/team/app`])
  assert.match(stderr, /^berth: anonymous was denied access .* 401; log in: --username and /)
})

test('a token does not follow a redirect to another origin', async (t) => {
  const other = await serverFor(t, (_request, response) => sendJson(response, { tags: ['x'] }))
  const registry = await serverFor(t, (_request, response) => {
    response.writeHead(307, { location: `${other.url}/v2/team/app/tags/list` }).end()
  })
  const list = ['image', 'list', `${registry.host}/team/app`, '--token-file', '-']
  const { status } = await runCommand(list, { input: token })
  assert.equal(status, 1)
  for (const { headers } of other.requests) assert.equal(headers['authorization'], undefined)
})

test('options that exclude each other are refused before any request', async (t) => {
  const { list, registry } = await tokenRegistry(t)
  const file = await fileFor(t, token)
  const both = [...list, '-u', 'alice', '--password-file', file, '--token-file', file]
  assert.match((await runCommand(both)).stderr, /exclude each other/)
  const alone = await runCommand([...list, '--password-file', file])
  assert.match(alone.stderr, /a password needs --username/)
  const empty = await runCommand([...list, '--token-file', '-'], { input: '\n' })
  assert.match(empty.stderr, /the token is not one token/)
  assert.equal(registry.requests.length, 0)
})

async function berthOf(t: TestContext, user: string): Promise<Berth & { readonly host: string }> {
  const htpasswd = await fileFor(t, `${user}:${await hashPassword(`canary-${user}`, 4)}\n`)
  const access = [{ users: [user], repositories: ['**'], actions }]
  const berth = await startBerth({ config: { upstreams: [], auth: { htpasswd, access } } })
  t.after(() => removeBerth(berth))
  return { ...berth, host: new URL(berth.url).host }
}

test('a copy between two registries logs in to each with its own password', async (t) => {
  const [from, to] = await Promise.all([berthOf(t, 'alice'), berthOf(t, 'bob')])
  const alice = await fileFor(t, 'canary-alice')
  const bob = await fileFor(t, 'canary-bob')
  const source = `${from.host}/local/app:1`
  const file = await fileFor(t, 'content')
  const push = ['image', 'push', '-q', '--file', file, source, '-u', 'alice']
  assert.equal((await runCommand([...push, '--password-file', alice])).status, 0)
  const copy = [
    ...['image', 'copy', '-q', source, `${to.host}/local/app:2`, '-o', 'json'],
    ...['--from-username', 'alice', '--from-password-file', alice],
  ]
  const login = ['--to-username', 'bob', '--to-password-file', '-']
  const copied = await runCommand([...copy, ...login], { input: 'canary-bob\n' })
  assert.equal(copied.stderr, '')
  const { digest } = JSON.parse(copied.stdout) as { digest: string }
  const inspect = ['image', 'inspect', `${to.host}/local/app:2`, '-o', 'json', '-u', 'bob']
  const found = await runCommand([...inspect, '--password-file', bob])
  assert.equal(JSON.parse(found.stdout).digest, digest)
  const wrong = await runCommand([...copy, '--to-username', 'bob', '--to-password-file', alice])
  assert.equal(wrong.status, 1)
  const stdin = [...copy, '--from-password-file', '-', ...login]
  assert.match((await runCommand(stdin)).stderr, /standard input can hold only one secret/)
})

test('a file of a secret that is missing is named at once, and nothing is sent', async (t) => {
  const { list, registry } = await tokenRegistry(t)
  const missing = join(await ownDirectory(t), 'missing')
  for (const login of [['-u', 'alice', '--password-file'], ['--token-file']]) {
    const { status, stderr } = await runCommand([...list, ...login, missing])
    assert.equal(status, 1)
    assert.match(stderr, /^berth: cannot read the file of --(password|token)-file: ENOENT.*missing/)
    assert.equal(stderr.trim().split('\n').length, 1)
  }
  assert.equal(registry.requests.length, 0)
})
