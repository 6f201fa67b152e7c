import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { nameIn } from '../support/artifact-registry.ts'
import { basicOf, type Canaries, createCanaries } from '../support/canaries.ts'
import { codeOf, get, type Reply } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { ownDirectory } from '../support/directory.ts'
import {
  type answer,
  answerJson,
  type FakeServer,
  type Recorded,
  startFakeServer,
} from '../support/fake-server.ts'
import { type HelperPrograms, helperPrograms } from '../support/helper-programs.ts'
import { type Image, makeImage } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { createContent } from '../support/registry-content.ts'
import { serveContent } from '../support/serve-content.ts'
import { useBerth } from '../support/use-berth.ts'

const name = 'team/app'
let canaries: Canaries
let programs: HelperPrograms
let directory: string
let content: ReturnType<typeof createContent>
let registry: FakeServer
/** The only `Authorization` that the registry accepts. */
let right: string
/** Its challenge for other requests. */
let challenge: string
/** It issues tokens for this identity token only, in a POST. */
let identityToken: string
let image: Image
const berth = useBerth({
  check: () => canaries.assertUnseen({ berths: [berth], replies }),
})
let replies: Reply[]

beforeEach(async (t) => {
  if (!('mock' in t)) return
  canaries = createCanaries()
  replies = []
  directory = await ownDirectory(t)
  programs = await helperPrograms(t)
  content = createContent()
  image = makeImage()
  content.put(name, 'v1', image)
  challenge = 'Basic realm="registry"'
  registry = await startFakeServer((request, response) => {
    if (request.path.startsWith('/token')) return giveToken(request, response)
    const repository = nameIn(request.path)
    if (request.headers.authorization === right && repository !== undefined)
      return serveContent(content, request, response, { name: repository })
    response.setHeader('www-authenticate', challenge)
    answerJson(response, 401, { errors: [{ code: 'UNAUTHORIZED', message: 'who are you' }] })
  })
})

afterEach(() => registry.stop())

/** docker's identity tokens are accepted in a POST only, not in a GET or as Basic. */
function giveToken({ method, body, headers }: Recorded, response: Parameters<typeof answer>[0]) {
  const form = new URLSearchParams(body)
  const isRight =
    method === 'POST' &&
    headers.authorization === undefined &&
    form.get('grant_type') === 'refresh_token' &&
    form.get('service') === 'the registry' &&
    form.get('scope') === `repository:${name}:pull` &&
    form.get('refresh_token') === identityToken
  if (!isRight) return answerJson(response, method === 'POST' ? 401 : 405, {})
  const token = canaries.secret('token')
  right = `Bearer ${token}`
  answerJson(response, 200, { access_token: token, refresh_token: identityToken, expires_in: 300 })
}

async function start(credentials: object, environment: Record<string, string> = {}): Promise<void> {
  const upstream = { url: registry.url, credentials, tags: { ttl: 0 } }
  await berth.start({ config: { upstreams: [upstream] }, environment })
}

async function configure(configuration: unknown): Promise<string> {
  const file = join(directory, 'config.json')
  await writeFile(file, JSON.stringify(configuration))
  return file
}

async function ask(reference: string): Promise<Reply> {
  const reply = await get(`${berth.url}/v2/${name}/manifests/${reference}`)
  replies.push(reply)
  return reply
}

/** Changes the password that the registry accepts for this user. */
function newPassword(username: string): string {
  const password = canaries.password(username)
  right = `Basic ${basicOf(username, password)}`
  return password
}

/** Changes the identity token that the registry accepts. */
function newIdentityToken(): string {
  challenge = `Bearer realm="${registry.url}/token",service="the registry"`
  identityToken = canaries.secret('identity')
  return identityToken
}

test("an image is pulled from a registry with Basic authentication and a helper's credential", async () => {
  await programs.answer('mine', 'robot', newPassword('robot'))
  await start({ type: 'docker-helper', helper: 'mine' })
  await pullImage(berth, name, image, 'v1')
  assert.deepEqual(await programs.invocations(), [`get ${registry.host}`])
})

test("the helper in docker's own configuration is used", async () => {
  await programs.answer('mine', 'robot', newPassword('robot'))
  await configure({ auths: { [registry.host]: {} }, credHelpers: { [registry.host]: 'mine' } })
  await start({ type: 'docker-config' }, { DOCKER_CONFIG: directory })
  await pullImage(berth, name, image, 'v1')
})

test('an identity token is posted to the token endpoint, and sent nowhere else', async () => {
  const identitytoken = newIdentityToken()
  const auth = basicOf('00000000-0000-0000-0000-000000000000', '')
  const file = await configure({ auths: { [registry.host]: { auth, identitytoken } } })
  await start({ type: 'docker-config', file })
  await pullImage(berth, name, image, 'v1')
  assert.equal(registry.count(/POST \/token$/), 1)
  assert.equal(registry.count(/GET \/token/), 0)
  for (const { path, headers } of registry.requests)
    assert.ok(!JSON.stringify([path, headers]).includes(identitytoken))
})

test('an identity token from a helper is posted as well, and replaced when it is rejected (U41)', async (t) => {
  const clock = useForwardClock(t)
  await programs.answer('mine', '<token>', newIdentityToken())
  await start({ type: 'docker-helper', helper: 'mine' })
  await pullImage(berth, name, image, 'v1')
  await programs.answer('mine', '<token>', newIdentityToken())
  right = 'nothing that is known'
  clock.advance(2000)
  const other = makeImage()
  content.put(name, 'v2', other)
  await pullImage(berth, name, other, 'v2')
  assert.equal((await programs.invocations()).length, 2)
})

test('a password that is replaced in the file takes effect at the first rejection, without a restart (U41)', async (t) => {
  const clock = useForwardClock(t)
  const write = (password: string) =>
    configure({ auths: { [registry.host]: { auth: basicOf('robot', password) } } })
  const file = await write(newPassword('robot'))
  await start({ type: 'docker-config', file })
  await pullImage(berth, name, image, 'v1')
  await write(newPassword('robot'))
  clock.advance(2000)
  const other = makeImage()
  content.put(name, 'v2', other)
  await pullImage(berth, name, other, 'v2')
  const refused = registry.requests.filter(({ status }) => status === 401)
  assert.equal(refused.length, 2, 'the challenge, and the password that is no longer right')
})

test('fifty concurrent first pulls run the helper once', async () => {
  await programs.answer('mine', 'robot', newPassword('robot'))
  await start({ type: 'docker-helper', helper: 'mine' })
  const all = await Promise.all(Array.from({ length: 50 }, () => ask('v1')))
  for (const { body } of all) assert.deepEqual(body, image.bytes)
  assert.equal((await programs.invocations()).length, 1)
})

test('a failing helper is an error with advice, and the cache is served (U42)', async (t) => {
  const clock = useForwardClock(t)
  const exp = Math.floor(Date.now() / 1000) + 600
  const payload = Buffer.from(JSON.stringify({ exp })).toString('base64url')
  const jwt = `e30.${payload}.${canaries.secret('signature')}`
  right = `Basic ${basicOf('robot', jwt)}`
  await programs.answer('mine', 'robot', jwt)
  await start({ type: 'docker-helper', helper: 'mine' })
  await pullImage(berth, name, image, 'v1')
  await programs.write(
    'mine',
    `echo 'the keychain is locked, not ${canaries.secret('chatter')}'; exit 1`,
  )
  clock.advance(601_000)
  await pullImage(berth, name, image)
  assert.equal((await ask('v1')).headers['x-cache'], 'stale')
  const cold = await ask('v2')
  assert.deepEqual([cold.status, codeOf(cold)], [503, 'UNAVAILABLE'])
  assert.ok(Number(cold.headers['retry-after']) >= 1)
  assert.match(
    cold.body.toString(),
    /no credential for .* as robot: docker-credential-mine failed with status 1: the keychain is locked, not \[redacted\]; run it manually/,
  )
})

test('denied access is an error that names the user and the fix', async () => {
  newPassword('somebody else')
  const file = await configure({
    auths: { [registry.host]: { username: 'robot', password: canaries.password('robot') } },
  })
  await start({ type: 'docker-config', file })
  const reply = await ask('v1')
  assert.deepEqual([reply.status, codeOf(reply)], [403, 'DENIED'])
  assert.match(
    reply.body.toString(),
    /robot was denied access to [^ ]+: .* answered 401: who are you; grant robot read access to team\/app in the registry, or change .*config\.json/,
  )
})
