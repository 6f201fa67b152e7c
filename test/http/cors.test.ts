import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { basicOf } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { useDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'
import { useBerth } from '../support/use-berth.ts'

const htpasswd = join(await useDirectory(), 'htpasswd')
await writeFile(htpasswd, `carol:${await hashPassword('password', 4)}`)
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const login = { authorization: `Basic ${basicOf('carol', 'password')}` }
const page = 'https://ui.example.com'
const berth = useBerth()

const start = (cors: object) =>
  berth.start({ config: { upstreams: [], auth: { htpasswd, access }, cors } })

function preflight(origin: string, method: string, path = '/v2/team/app/manifests/v1') {
  const headers = {
    origin,
    'access-control-request-method': method,
    'access-control-request-headers': 'authorization',
  }
  return get(`${berth.url}${path}`, { method: 'OPTIONS', headers })
}

test('without a configuration no answer has a CORS header, and a preflight is not answered', async () => {
  await start({})
  const { status, headers } = await preflight(page, 'GET')
  assert.equal(status, 405)
  assert.equal(headers['access-control-allow-origin'], undefined)
  const read = await get(`${berth.url}/v2/`, { headers: { ...login, origin: page } })
  assert.equal(read.headers['access-control-allow-origin'], undefined)
})

test('a page of a configured origin reads, errors included, after a preflight without a login', async () => {
  await start({ origins: [page], credentials: true })
  const asked = await preflight(page, 'GET')
  assert.equal(asked.status, 204)
  assert.equal(asked.headers['access-control-allow-origin'], page)
  assert.equal(asked.headers['access-control-allow-credentials'], 'true')
  assert.match(String(asked.headers['access-control-allow-methods']), /^GET, HEAD$/)
  assert.match(String(asked.headers['access-control-allow-headers']), /Authorization/)
  const denied = await get(`${berth.url}/v2/`, { headers: { origin: page } })
  assert.equal(denied.status, 401)
  assert.equal(denied.headers['access-control-allow-origin'], page)
  assert.match(String(denied.headers['access-control-expose-headers']), /WWW-Authenticate/)
  const tags = await get(`${berth.url}/v2/team/app/tags/list`, {
    headers: { ...login, origin: page },
  })
  assert.equal(tags.status, 404)
  assert.equal(tags.headers['access-control-allow-origin'], page)
  assert.match(String(tags.headers['access-control-expose-headers']), /Docker-Content-Digest.*Link/)
  assert.equal(tags.headers.vary, 'Origin')
})

test('other origins, and origins that only look alike, get nothing', async () => {
  await start({ origins: [page] })
  for (const origin of [
    'https://evil.example',
    'http://ui.example.com',
    'https://ui.example.com:8443',
    'https://ui.example.com.evil.example',
    'null',
  ]) {
    const { status, headers } = await preflight(origin, 'GET')
    assert.equal(status, 405, origin)
    assert.equal(headers['access-control-allow-origin'], undefined, origin)
  }
})

test('a page may delete only if the method is configured', async () => {
  await start({ origins: [page] })
  const image = makeImage()
  const remove = (origin: string) =>
    get(`${berth.url}/v2/team/app/manifests/v1`, {
      method: 'DELETE',
      headers: { ...login, origin, 'sec-fetch-site': 'cross-site' },
    })
  await createPushClient(berth.url, 'carol:password').push('team/app', image, 'v1')
  assert.equal((await remove(page)).status, 403)
  await start({ origins: [page], methods: ['GET', 'HEAD', 'DELETE'] })
  await createPushClient(berth.url, 'carol:password').push('team/app', image, 'v1')
  assert.match(
    String((await preflight(page, 'DELETE')).headers['access-control-allow-methods']),
    /DELETE/,
  )
  assert.equal((await remove('https://evil.example')).status, 403)
  assert.equal((await remove(page)).status, 202)
})

test("the page's own API, and the page, are for their own origin only", async () => {
  await start({ origins: ['*'] })
  const { headers } = await get(`${berth.url}/api/session`, { headers: { origin: page } })
  assert.equal(headers['access-control-allow-origin'], undefined)
  const read = await get(`${berth.url}/v2/`, { headers: { ...login, origin: page } })
  assert.equal(read.headers['access-control-allow-origin'], '*')
  assert.equal(read.headers['access-control-allow-credentials'], undefined)
})

test('credentials for every origin are a wrong configuration', async () => {
  await assert.rejects(start({ origins: ['*'], credentials: true }), /by name/)
  await assert.rejects(start({ origins: ['https://ui.example.com/path'] }), /without a path/)
})
