import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, test } from 'node:test'
import { z } from 'zod'
import { openapiDocument } from '../../src/api/openapi.ts'
import { session } from '../../src/api/schema/session.ts'
import { hashPassword } from '../../src/auth/auth.ts'
import { basicOf } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { useDirectory } from '../support/directory.ts'
import { useBerth } from '../support/use-berth.ts'

const htpasswd = join(await useDirectory(), 'htpasswd')
const access = [
  { users: ['alice'], repositories: ['team/**'], actions: ['pull'] },
  { users: ['carol'], repositories: ['**'], actions: ['pull', 'push', 'delete'] },
]
const berth = useBerth()
const loginOf = (user: string, password = `password of ${user}`) => ({
  authorization: `Basic ${basicOf(user, password)}`,
})

async function ask(path: string, headers: Readonly<Record<string, string>> = {}) {
  const { status, headers: answered, body } = await get(`${berth.url}${path}`, { headers })
  return { status, headers: answered, json: JSON.parse(body.toString()) }
}

async function sessionOf(headers?: Readonly<Record<string, string>>, query = '') {
  const { status, json } = await ask(`/api/session${query}`, headers)
  assert.equal(status, 200)
  return session.parse(json)
}

beforeEach(async () => {
  const lines = ['alice', 'carol'].map(
    async (user) => `${user}:${await hashPassword(`password of ${user}`, 4)}`,
  )
  await writeFile(htpasswd, (await Promise.all(lines)).join('\n'))
  await berth.start({ config: { upstreams: [], auth: { htpasswd, access } } })
})

test('a session says who the client is and what it may do', async () => {
  const alice = await sessionOf(loginOf('alice'))
  assert.equal(alice.user, 'alice')
  assert.deepEqual(alice.may, { pull: true, push: false, delete: false })
  assert.equal(alice.seesAll, false)
  const carol = await sessionOf(loginOf('carol'))
  assert.deepEqual(carol.may, { pull: true, push: true, delete: true })
  assert.equal(carol.seesAll, true)
  assert.equal(carol.pullHost, new URL(berth.url).host)
})

test('without a login the session says that one is required, and everything else is 401', async () => {
  const nobody = await sessionOf()
  assert.equal(nobody.identity, 'none')
  assert.equal(nobody.login, 'required')
  assert.deepEqual(nobody.may, { pull: false, push: false, delete: false })
  const { status, headers, json } = await ask('/api/overview')
  assert.equal(status, 401)
  assert.equal(headers['content-type'], 'application/problem+json')
  assert.match(String(headers['www-authenticate']), /^Basic /)
  assert.equal(json.code, 'UNAUTHORIZED')
})

test('a script is not challenged with Basic, unless it asks for a login', async () => {
  const script = { 'sec-fetch-mode': 'cors', 'sec-fetch-site': 'same-origin' }
  for (const headers of [script, { ...script, ...loginOf('alice', 'wrong') }]) {
    const { status, headers: answered } = await ask('/api/overview', headers)
    assert.equal(status, 401)
    assert.match(String(answered['www-authenticate']), /^x-basic /)
  }
  const { status, headers } = await ask('/api/session?login', script)
  assert.equal(status, 401)
  assert.match(String(headers['www-authenticate']), /^Basic /)
  assert.equal((await sessionOf({ ...script, ...loginOf('alice') }, '?login')).user, 'alice')
  const again = await ask('/api/session?login&not=alice', { ...script, ...loginOf('alice') })
  assert.equal(again.status, 401)
  const other = await sessionOf({ ...script, ...loginOf('carol') }, '?login&not=alice')
  assert.equal(other.user, 'carol')
})

test('where there are no users nobody is asked for a login', async () => {
  await berth.start({ config: { upstreams: [] } })
  const { identity, login } = await sessionOf({}, '?login')
  assert.equal(identity, 'auth-off')
  assert.equal(login, 'off')
})

test('title and pull host are configured, and ui.enabled: false turns the API off', async () => {
  const ui = { title: 'Images of ACME', pullHost: 'registry.acme.example:5000' }
  await berth.start({ config: { upstreams: [], ui } })
  const { title, pullHost } = await sessionOf()
  assert.deepEqual({ title, pullHost }, ui)
  await berth.start({ config: { upstreams: [], ui: { enabled: false } } })
  assert.equal((await ask('/api/session')).status, 404)
})

test('the description of the API is served, and names each schema that it refers to', async () => {
  const { status, json } = await ask('/api/openapi.json')
  assert.equal(status, 200)
  assert.deepEqual(json, JSON.parse(JSON.stringify(openapiDocument('test'))))
  const { openapi, components } = z
    .object({
      openapi: z.string(),
      components: z.object({ schemas: z.record(z.string(), z.any()) }),
    })
    .parse(json)
  assert.equal(openapi, '3.1.0')
  const references = [...JSON.stringify(json).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)]
  assert.ok(references.length > 20)
  for (const [, name = ''] of references) assert.ok(name in components.schemas, name)
})

test('unknown paths, methods and parameters are errors that say so', async () => {
  const carol = loginOf('carol')
  assert.equal((await ask('/api/nothing', carol)).status, 404)
  assert.equal((await ask('/api', carol)).status, 404)
  const unknown = await ask('/api/session?colour=red', carol)
  assert.equal(unknown.status, 400)
  const posted = await get(`${berth.url}/api/session`, { method: 'POST', headers: carol })
  assert.equal(posted.status, 405)
  assert.equal(posted.headers.allow, 'GET')
})
