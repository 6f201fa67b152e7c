import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { isRegistryError } from '../../src/oci/errors.ts'
import { parseRepositoryName, type Tag } from '../../src/oci/reference.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import type { Remote } from '../../src/remote/remote.ts'
import { createCanaries } from '../support/canaries.ts'
import { createAuthority } from '../support/certificates.ts'
import { startConnectProxy } from '../support/connect-proxy.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import {
  changingSource,
  type OpenRemote,
  openRemote,
  readAll,
  tellingTelemetry,
} from '../support/remotes.ts'
import { sendJson, startWebServer, type WebServer } from '../support/web-server.ts'

const canaries = createCanaries()
const { telemetry, lines } = tellingTelemetry()
const told: string[] = []
const name = parseRepositoryName('team/app')
const blob = randomBlob(1000)
const path = `/v2/${name}/blobs/${blob.digest}`

let registry: WebServer
let storage: WebServer
let stranger: WebServer
let token: string
let opened: Remote[]

before(async () => {
  registry = await startWebServer(() => {})
  storage = await startWebServer((_seen, response) => void response.end(blob.bytes))
  stranger = await startWebServer((_seen, response) => void response.end(blob.bytes))
})
after(async () => {
  await Promise.all([registry.close(), storage.close(), stranger.close()])
  const texts = [...lines, ...told, await telemetry.metrics.text()]
  await canaries.assertUnseen({ strangers: [storage, stranger], texts })
  // Nobody but the storage that was listed was asked for anything.
  assert.equal(stranger.requests.length, 0)
})
beforeEach(() => {
  opened = []
  token = canaries.secret('token')
})
afterEach(() => Promise.all(opened.map((remote) => remote.close())))

function open(options: Partial<OpenRemote> = {}): Remote {
  const remote = openRemote({
    url: registry.url,
    redirects: [storage.url],
    source: changingSource({ kind: 'access-token', username: 'u', token }),
    telemetry,
    ...options,
  })
  opened.push(remote)
  return remote
}

/** The registry redirects to each of these in turn, by path; the last of them answers. */
function redirecting(status: number, ...locations: readonly (string | undefined)[]): void {
  let next = 0
  registry.answer((seen, response) => {
    const isRight = seen.headers['authorization'] === `Bearer ${token}`
    if (!isRight) return sendJson(response, {}, 401)
    if (next === locations.length) return void response.end(blob.bytes)
    const location = locations[next]
    next += 1
    response.writeHead(status, location === undefined ? {} : { location }).end('moved')
  })
}

async function pull(remote = open(), from = 0): Promise<Buffer | undefined> {
  const found = await remote.blob(name, blob.digest, from)
  return found && readAll(found.body)
}

async function assertRefused(message: RegExp, act: () => Promise<unknown> = pull): Promise<void> {
  await assert.rejects(act(), (error) => {
    assert.ok(isRegistryError(error, 'UNAVAILABLE'), String(error))
    told.push(error.message)
    assert.equal(error.status, 502)
    assert.match(error.message, message)
    return true
  })
}

for (const status of [301, 302, 303, 307, 308])
  test(`${status} to a listed storage host is followed without a credential (U48, U49)`, async () => {
    redirecting(status, `${storage.url}/bucket/object?signature=abc`)
    assert.deepEqual(await pull(), blob.bytes)
    const { path, method, headers } = storage.requests.at(-1) ?? {}
    assert.deepEqual([method, path], ['GET', '/bucket/object?signature=abc'])
    assert.equal(headers?.['authorization'], undefined)
    assert.equal(headers?.['cookie'], undefined)
  })

test('a redirect within the upstream is sent with the credential, relative ones too (U48)', async () => {
  for (const location of ['/artifacts/x?token=1', '../x', '?again=1', `${registry.url}/abs`]) {
    redirecting(302, location)
    assert.deepEqual(await pull(), blob.bytes, location)
    const { path: followed = '', headers } = registry.requests.at(-1) ?? {}
    assert.equal(followed, new URL(location, registry.url + path).href.slice(registry.url.length))
    assert.equal(headers?.['authorization'], `Bearer ${token}`)
  }
})

test('the requested range is requested from the target of a redirect', async () => {
  redirecting(307, `${storage.url}/object`)
  await pull(open(), 400)
  assert.equal(storage.requests.at(-1)?.headers['range'], 'bytes=400-')
})

test('three redirects are followed, and a fourth or a loop is an error (U48)', async () => {
  redirecting(302, '/one', '/two', '/three')
  assert.deepEqual(await pull(), blob.bytes)
  redirecting(302, '/one', '/two', '/three', '/four', '/five')
  await assertRefused(/redirected more than 3 times/)
  const before = registry.requests.length
  registry.answer((_seen, response) => void response.writeHead(302, { location: path }).end())
  await assertRefused(/redirected more than 3 times/)
  assert.equal(registry.requests.length - before, 4)
})

test('a redirect to another host is rejected, and the error names the host and the field that would allow it (U49)', async () => {
  redirecting(302, `${stranger.url}/object`)
  await assertRefused(/redirects to http:\/\/127\.0\.0\.1:\d+, which is not allowed; .*redirects/)
})

test('a redirect by the storage follows the same rules (U49)', async (t) => {
  t.after(() => storage.answer((_seen, response) => void response.end(blob.bytes)))
  storage.answer(
    (_seen, response) => void response.writeHead(302, { location: `${stranger.url}/object` }).end(),
  )
  redirecting(302, `${storage.url}/object`)
  await assertRefused(/not allowed/)
})

test('the credential is sent again after a redirect back to the upstream, and not in between (U49)', async (t) => {
  t.after(() => storage.answer((_seen, response) => void response.end(blob.bytes)))
  storage.answer(
    (_seen, response) => void response.writeHead(302, { location: `${registry.url}/back` }).end(),
  )
  redirecting(302, `${storage.url}/object`)
  assert.deepEqual(await pull(), blob.bytes)
  assert.equal(registry.requests.at(-1)?.headers['authorization'], `Bearer ${token}`)
})

test('a redirect to a private address, another scheme or port, or with userinfo is rejected (U49, U50)', async () => {
  const { port } = stranger
  for (const location of [
    'http://169.254.169.254/computeMetadata/v1/',
    'https://169.254.169.254/computeMetadata/v1/',
    `https://127.0.0.1:${port}/`,
    `https://[::1]:${port}/`,
    `http://localhost:${port}/`,
    'https://10.0.0.1/',
    `http://2130706433:${port}/`,
    `https://${registry.host}/x`,
    `http://user:secret@${registry.host}/x`,
    'http://storage.googleapis.com/x',
    'file:///etc/passwd',
    'gopher://127.0.0.1/',
    `//127.0.0.1:${port}/x`,
    `/\\127.0.0.1:${port}/x`,
    'http://',
    'http://[',
  ]) {
    redirecting(302, location)
    await assertRefused(/redirects to .*not allowed|in circles/)
  }
})

test('a redirect without a valid target is an error', async () => {
  for (const headers of [{}, { location: '' }, { location: 'https://[' }]) {
    registry.answer((_seen, response) => void response.writeHead(302, headers).end())
    await assertRefused(/redirects to an invalid URL, which is not allowed/)
  }
})

test('a denial by the storage is retried once, because its URL may have expired, and is not a denial of the registry (issue 51)', async (t) => {
  t.after(() => storage.answer((_seen, response) => void response.end(blob.bytes)))
  const challenge = { 'www-authenticate': `Bearer realm="${stranger.url}/token"` }
  for (const status of [401, 403]) {
    storage.answer((_seen, response) => void response.writeHead(status, challenge).end('expired'))
    redirecting(302, `${storage.url}/object`, `${storage.url}/object`)
    await assertRefused(/redirects to .*, which answered 40[13]/)
    redirecting(302, `${storage.url}/object`)
    assert.deepEqual(await pull(), blob.bytes)
  }
})

test('a forbidden redirect does not open the breaker', async () => {
  redirecting(302)
  const remote = open()
  registry.answer(
    (_seen, response) => void response.writeHead(302, { location: stranger.url }).end(),
  )
  for (let times = 0; times < 8; times += 1) await assertRefused(/not allowed/, () => pull(remote))
  assert.equal(remote.problem(), undefined)
  registry.answer((_seen, response) => sendJson(response, { tags: ['v1'] }))
  assert.deepEqual((await remote.tags(name))?.tags, ['v1'])
})

test('redirects of tags, manifests and HEAD follow the same rules', async () => {
  redirecting(302, `${stranger.url}/list`)
  await assertRefused(/not allowed/, () => open().tags(name))
  redirecting(302, `${stranger.url}/manifest`)
  await assertRefused(/not allowed/, () => open().manifest(name, { tag: 'v1' as Tag }))
  redirecting(307, `${storage.url}/object`)
  await open().statBlob(name, blob.digest)
  assert.equal(storage.requests.at(-1)?.method, 'HEAD')
})

test("a storage that has lost an object is broken, and its words are not the registry's", async () => {
  storage.answer((_seen, response) =>
    sendJson(response, {}, response.req.url === '/gone' ? 404 : 400),
  )
  try {
    for (const [object, status] of [
      ['gone', 404],
      ['expired', 400],
    ] as const) {
      redirecting(307, `${storage.url}/${object}`, `${storage.url}/${object}`)
      await assertRefused(new RegExp(`redirects to .*, which answered ${status}`))
    }
    // Another registry speaks for this one: registry.k8s.io leads to Artifact Registry.
    storage.answer((_seen, response) => sendJson(response, {}, 404))
    redirecting(307, `${storage.url}/v2/elsewhere/blobs/${blob.digest}`)
    assert.equal(await pull(), undefined)
  } finally {
    storage.answer((_seen, response) => void response.end(blob.bytes))
  }
})

test('a tag is requested by GET if HEAD is denied', async () => {
  const image = makeImage()
  registry.answer((seen, response) => {
    if (seen.headers['authorization'] !== `Bearer ${token}`) return sendJson(response, {}, 401)
    if (seen.method === 'HEAD') return void response.writeHead(403).end()
    response.end(image.bytes)
  })
  const found = await open().resolve(name, 'v1' as Tag)
  assert.ok(typeof found === 'object')
  assert.equal(found.digest, image.digest)
})

test('a redirect of a blob to an unlisted public host is followed without a credential; those of lists and tags are not (C185)', async (t) => {
  const host = 'production.cloudfront.docker.com'
  const authority = await createAuthority('of the test')
  const tls = await authority.issue([`DNS:${host}`])
  const cdn = await startWebServer((_seen, response) => void response.end(blob.bytes), { tls })
  const proxy = await startConnectProxy({ route: () => ({ host: '127.0.0.1', port: cdn.port }) })
  t.after(() => Promise.all([cdn.close(), proxy.close(), authority.remove()]))
  const remote = open({
    redirects: [],
    outbound: createOutbound({
      proxy: { https: proxy.url },
      certificates: { file: authority.file },
    }),
  })
  redirecting(307, `https://${host}/registry/data?Signature=abc`)
  assert.deepEqual(await pull(remote), blob.bytes)
  assert.deepEqual(proxy.requests, [`CONNECT ${host}:443`])
  assert.equal(cdn.requests.at(-1)?.headers['authorization'], undefined)
  redirecting(307, `https://${host}/list`)
  const message = new RegExp(
    `not allowed; if that is right, list ${host} under upstreams\\[\\]\\.redirects`,
  )
  await assertRefused(message, () => remote.tags(name))
  redirecting(307, `https://${host}/tag`)
  await assertRefused(message, () => remote.manifest(name, { tag: 'v1' as Tag }))
  assert.equal(cdn.requests.length, 1)
  redirecting(307, `https://${host}/manifest`)
  const { digest } = blob
  assert.deepEqual((await remote.manifest(name, { digest }))?.bytes, blob.bytes)
})
