import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { basicOf, createCanaries } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { makeImage } from '../support/images.ts'
import { useBerth } from '../support/use-berth.ts'
import { sendJson, startWebServer } from '../support/web-server.ts'

const canaries = createCanaries()
const password = canaries.password('robot')
const image = makeImage()
const permission = 'Permission "repositories.download" denied on resource'

/** Repositories that the robot may read. */
let granted: Set<string>

const registry = await startWebServer(({ method, path, headers }, response) => {
  const [, name = '', reference = ''] = /^\/v2\/(.+)\/manifests\/(.+)$/.exec(path) ?? []
  if (headers['authorization'] !== `Basic ${basicOf('robot', password)}`) {
    response.setHeader('www-authenticate', 'Basic realm="registry"')
    return sendJson(response, {}, 401)
  }
  if (!granted.has(name))
    return sendJson(response, { errors: [{ code: 'DENIED', message: permission }] }, 403)
  if (reference !== 'v1' && reference !== image.digest) return sendJson(response, {}, 404)
  const { mediaType, digest, bytes } = image
  const length = String(bytes.length)
  response.writeHead(200, {
    'content-type': mediaType,
    'docker-content-digest': digest,
    'content-length': length,
  })
  response.end(method === 'HEAD' ? undefined : bytes)
})
after(registry.close)
const credentials = { type: 'static', username: 'robot', password }
const berth = useBerth({
  config: { upstreams: [{ url: registry.url, credentials, tags: { ttl: 0 } }] },
  check: (berth) => canaries.assertUnseen({ berths: [berth] }),
})
beforeEach(() => {
  granted = new Set(['p/seen'])
})

async function readiness(): Promise<{ ready: boolean; parts: Record<string, string> }> {
  return JSON.parse((await get(`${berth.admin}/readyz`)).body.toString())
}
const trouble = async () => (await readiness()).parts[`upstream ${registry.host}`]

test('a refusal says who was refused what, alike in the 403, in the log and in /readyz', async () => {
  const refused = await get(`${berth.url}/v2/p/hidden/manifests/v1`)
  assert.equal(refused.status, 403)
  const [error] = JSON.parse(refused.body.toString()).errors
  assert.equal(error.code, 'DENIED')
  assert.ok(
    error.message.startsWith(`robot was denied access to p/hidden: ${registry.url} answered 403: `),
  )
  assert.ok(error.message.includes(permission))
  await eventually('the log says so', () =>
    berth.logs().some(({ status, reason }) => status === 403 && reason === error.message),
  )
  assert.equal(await trouble(), error.message)
  assert.equal((await readiness()).ready, true, 'others are served')
})

test('who is refused one repository is served the others, cached or not', async () => {
  await get(`${berth.url}/v2/p/hidden/manifests/v1`)
  for (const reference of ['v1', image.digest]) {
    const { status } = await get(`${berth.url}/v2/p/seen/manifests/${reference}`)
    assert.equal(status, 200)
  }
  assert.match(
    (await trouble()) ?? '',
    /denied access to p\/hidden/,
    'and the refusal is not forgotten',
  )
})

test('what is granted is served without a restart, and no trouble any more', async () => {
  assert.equal((await get(`${berth.url}/v2/p/hidden/manifests/v1`)).status, 403)
  granted.add('p/hidden')
  await eventually('it is served', async () => {
    const { status } = await get(`${berth.url}/v2/p/hidden/manifests/v1`)
    return status === 200
  })
  assert.equal(await trouble(), 'ok')
})

test('what is revoked is refused from the next look at the tag on, and its digest is kept', async () => {
  assert.equal((await get(`${berth.url}/v2/p/seen/manifests/v1`)).status, 200)
  granted.clear()
  await eventually('the tag is refused', async () => {
    const { status } = await get(`${berth.url}/v2/p/seen/manifests/v1`)
    return status === 403
  })
  assert.equal((await get(`${berth.url}/v2/p/seen/manifests/${image.digest}`)).status, 200)
})
