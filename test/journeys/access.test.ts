import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, suite, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { eventually } from '../support/berth.ts'
import { basicOf } from '../support/canaries.ts'
import { codeOf, get, type Reply } from '../support/client.ts'
import { useDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { connectRaw } from '../support/raw.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const image = makeImage()
const blob = image.blobs[1]?.digest
/** carol has access to everything. */
const access = [
  { users: ['alice'], repositories: ['team/**', 'local/**'], actions: ['pull'] },
  { users: ['bob'], repositories: ['other/**'], actions: ['pull'] },
  { users: ['carol'], repositories: ['**'], actions: ['pull', 'push', 'delete'] },
]
const users = ['alice', 'bob', 'carol']

const upstream = await useUpstream()
const htpasswd = join(await useDirectory(), 'htpasswd')
const lines = await Promise.all(
  users.map(async (user) => `${user}:${await hashPassword(`password of ${user}`, 4)}`),
)
const berth = useBerth()

for (const name of ['team/app', 'other/app']) upstream.put(name, 'v1', image)

beforeEach(async () => {
  await writeFile(htpasswd, lines.join('\n'))
  await start()
})

function start(auth: object = {}, directory?: string): Promise<void> {
  return berth.start({
    ...(directory !== undefined && { directory }),
    config: { upstreams: [{ url: upstream.url }], auth: { htpasswd, access, ...auth } },
  })
}

function loginOf(user: string, password = `password of ${user}`): Record<string, string> {
  return { authorization: `Basic ${basicOf(user, password)}` }
}

function request(path: string, user: string, method = 'GET'): Promise<Reply> {
  return get(berth.url + path, { method, headers: user === '' ? {} : loginOf(user) })
}

const pathsOf = (name: string) => [
  `/v2/${name}/manifests/v1`,
  `/v2/${name}/manifests/${image.digest}`,
  `/v2/${name}/blobs/${blob}`,
  `/v2/${name}/tags/list`,
  `/v2/${name}/referrers/${image.digest}`,
]

test('a request without credentials gets 401 with a Basic challenge (P1)', async () => {
  for (const path of ['/v2/', '/v2', ...pathsOf('team/app'), '/v2/_catalog'])
    for (const method of ['GET', 'HEAD']) {
      const { status, headers } = await request(path, '', method)
      assert.equal(status, 401, path)
      assert.equal(headers['www-authenticate'], 'Basic realm="Berth", charset="UTF-8"')
      assert.equal(headers['docker-distribution-api-version'], 'registry/2.0')
    }
  assert.equal((await request('/v2/', 'bob')).status, 200)
  assert.equal(upstream.requests.length, 0)
})

test('a denied user gets the same answer for cached, existing and missing content (INV-7)', async () => {
  const strip = ({ status, headers, body }: Reply) => ({
    status,
    headers: { ...headers, date: '' },
    body: body.toString(),
  })
  const answers = async (name: string) => {
    const all = []
    for (const user of ['', 'bob', 'alice'])
      for (const path of pathsOf(name))
        for (const method of ['GET', 'HEAD'])
          if (user !== 'alice' || name === 'other/app') {
            const reply = strip(await request(path, user, method))
            assert.equal(reply.status, user === '' ? 401 : 403, `${user} ${path}`)
            all.push(JSON.stringify(reply).replaceAll(name, 'NAME'))
          }
    return all
  }
  const before = upstream.requests.length
  const cold = await answers('team/app')
  assert.equal(upstream.requests.length, before, 'the upstream got a request for a denied user')
  for (const path of pathsOf('team/app'))
    assert.equal((await request(path, 'alice')).status, 200, path)
  assert.deepEqual(await answers('team/app'), cold, 'what is cached')
  assert.deepEqual(await answers('team/not'), cold, 'what does not exist')
})

test('the catalog lists the repositories that the user may pull from', async () => {
  await request(`/v2/team/app/manifests/v1`, 'carol')
  await request(`/v2/other/app/manifests/v1`, 'carol')
  const listed = async (user: string) =>
    (
      JSON.parse((await request('/v2/_catalog', user)).body.toString()) as {
        repositories: string[]
      }
    ).repositories
  assert.deepEqual(await listed('carol'), ['other/app', 'team/app'])
  assert.deepEqual(await listed('alice'), ['team/app'])
  assert.deepEqual(await listed('bob'), ['other/app'])
})

suite('a user who may only pull (A106)', () => {
  const digest = `sha256:${'0'.repeat(64)}`
  const writes: readonly (readonly [methods: string, path: string])[] = [
    ['PUT DELETE', 'NAME/manifests/v1'],
    ['PUT DELETE', `NAME/manifests/${image.digest}`],
    ['DELETE', `NAME/blobs/${blob}`],
    ['POST', 'NAME/blobs/uploads/'],
    ['POST', `NAME/blobs/uploads/?digest=${digest}`],
    ['POST', `NAME/blobs/uploads/?mount=${blob}&from=other/app`],
    ['GET PATCH PUT DELETE', 'NAME/blobs/uploads/0'],
  ]
  const aliases: readonly ((path: string) => string)[] = [
    (path) => `/v2/${path}`,
    (path) => `/%76%32/${path}`,
    (path) => `/v2/${path.replaceAll('/', '%2F')}`,
    (path) => `/v2/${path.replace('manifests', '%6danifests').replace('uploads', 'up%6coads')}`,
    (path) => `/v2/${path}${path.includes('?') ? '&' : '?'}ns=localhost`,
  ]

  test('cannot write by any method of any route under any alias', async () => {
    for (const path of pathsOf('team/app')) await request(path, 'alice')
    const before = upstream.requests.length
    for (const name of ['team/app', 'local/app'])
      for (const [methods, path] of writes)
        for (const alias of aliases)
          for (const method of methods.split(' ')) {
            const target = alias(path.replace('NAME', name))
            const reply = await request(target, 'alice', method)
            assert.equal(reply.status, 403, `${method} ${target}`)
            assert.equal(codeOf(reply), 'DENIED')
            const wrong = await get(berth.url + target, { method, headers: loginOf('alice', 'x') })
            assert.equal(wrong.status, 401, `${method} ${target}`)
          }
    assert.equal(upstream.requests.length, before)
    for (const path of pathsOf('team/app').slice(0, 3))
      assert.equal((await request(path, 'alice')).headers['x-cache'], 'hit', path)
  })

  test('cannot write by headers that override the method', async () => {
    for (const header of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override']) {
      const headers = { ...loginOf('alice'), [header]: 'DELETE' }
      const { status } = await get(`${berth.url}/v2/team/app/manifests/v1`, { headers })
      assert.equal(status, 200)
    }
    assert.equal((await request('/v2/team/app/manifests/v1', 'alice')).status, 200)
  })

  test('and a user who may push gets UNSUPPORTED', async () => {
    for (const [methods, path] of writes)
      for (const method of methods.split(' ')) {
        const reply = await request(`/v2/${path.replace('NAME', 'team/app')}`, 'carol', method)
        assert.equal(reply.status, 405, `${method} ${path}`)
        assert.equal(codeOf(reply), 'UNSUPPORTED')
      }
  })
})

suite('access that was removed', () => {
  test('is denied for cached content, too (A110)', async () => {
    for (const path of pathsOf('team/app')) assert.equal((await request(path, 'alice')).status, 200)
    await berth.stop()
    await start({ access: access.slice(1) }, berth.directory)
    for (const path of pathsOf('team/app')) {
      assert.equal((await request(path, 'alice')).status, 403, path)
      assert.equal((await request(path, 'carol')).status, 200, path)
    }
  })

  test('together with the user is denied after the next poll of the file, also on an open connection (A104, A110)', async () => {
    const client = await connectRaw(berth.url)
    const header = `Authorization: Basic ${basicOf('alice', 'password of alice')}`
    const once = async () => {
      client.ask(`GET /v2/team/app/blobs/${blob} HTTP/1.1`, 'Host: berth', header)
      return (await client.reply()).status
    }
    assert.equal(await once(), 200)
    await writeFile(htpasswd, lines.slice(1).join('\n'))
    await eventually('alice is rejected', async () => (await once()) === 401)
    assert.equal((await request('/v2/', 'bob')).status, 200)
    client.socket.destroy()
  })

  test('needs a valid file: a truncated, empty or deleted one changes nothing (A104)', async () => {
    const isStale = async () => (await berth.metric('berth_htpasswd_stale')) === 1
    for (const damage of [
      () => writeFile(htpasswd, ''),
      () => writeFile(htpasswd, lines.join('\n').slice(0, -10)),
      () => rm(htpasswd),
    ]) {
      await damage()
      await eventually('the invalid file is noticed', isStale)
      for (const user of users) assert.equal((await request('/v2/', user)).status, 200, user)
      assert.equal((await request('/v2/', '')).status, 401)
      await writeFile(htpasswd, lines.join('\n'))
      await eventually('the valid file is in force', async () => !(await isStale()))
    }
  })
})

suite('Authorization headers (A100)', () => {
  const valid = `Authorization: Basic ${basicOf('alice', 'password of alice')}`

  for (const [what, headers] of [
    ['two headers', [valid, valid]],
    ['a second header in another case', [valid, 'AUTHORIZATION: Basic x']],
    ['16 kB', [`Authorization: Basic ${'A'.repeat(16_000)}`]],
    [
      'bytes that are not UTF-8',
      [`Authorization: Basic ${Buffer.from('alice:\xff', 'latin1').toString('base64')}`],
    ],
    ['a token', ['Authorization: Bearer eyJhbGciOiJub25lIn0.e30.']],
    ['an empty header', ['Authorization:']],
    ['another header', [`Proxy-Authorization: Basic ${basicOf('alice', 'password of alice')}`]],
    ['a folded header', [`${valid}\r\n  more`]],
  ] as const)
    test(`${what}: rejected on every route`, async () => {
      for (const path of ['/v2/', ...pathsOf('team/app')]) {
        const client = await connectRaw(berth.url)
        client.ask(`GET ${path} HTTP/1.1`, 'Host: berth', ...headers)
        const { status, headers: answered } = await client.reply()
        client.socket.destroy()
        assert.ok(status === 401 || status === 400, `${path}: ${status}`)
        if (status === 401) assert.match(answered['www-authenticate'] ?? '', /^Basic realm=/)
      }
    })
})
