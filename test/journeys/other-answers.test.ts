import assert from 'node:assert/strict'
import { beforeEach, type TestContext, test } from 'node:test'
import { codeOf, get } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { settle } from '../support/remotes.ts'
import { noRegistry } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

/** What answers for an upstream, and is not its registry; and a registry whose HEAD knows less than its GET. */
const name = 'p/r'
const other = 'p/other'
const minute = 60_000
const upstream = await useUpstream()
const tags = { ttl: '60s', staleIfError: '1h' }
const berth = useBerth({ config: { upstreams: [{ url: upstream.url, tags }] } })
let image: Image

beforeEach(() => {
  image = makeImage()
  upstream.put(name, 'v1', image)
})

const tag = (reference = 'v1') => get(`${berth.url}/v2/${name}/manifests/${reference}`)

function timeOf(t: TestContext): (milliseconds: number) => Promise<void> {
  const clock = useForwardClock(t)
  return async (milliseconds) => {
    clock.advance(milliseconds)
    await settle()
  }
}

async function readiness(): Promise<string> {
  const { body } = await get(`${berth.admin}/readyz`)
  return body.toString()
}

const strangers = [
  ['an ingress without a backend', 404, 'text/plain', 'default backend - 404'],
  ['an empty page', 404, 'text/plain', ''],
  ['a web server', 404, 'text/html', '<html><title>404 Not Found</title></html>'],
  ['another API', 404, 'application/json', '{"errors":[{"code":"ROUTE_GONE"}]}'],
  ['a login page', 403, 'text/html', '<html>log in</html>'],
  ['a login page of another kind', 401, 'text/html', '<html>log in</html>'],
] as const

for (const [what, status, type, body] of strangers)
  test(`a ${status} of ${what} does not take a tag away, and /readyz says so (C192)`, async (t) => {
    const pass = timeOf(t)
    await pullImage(berth, name, image, 'v1')
    assert.doesNotMatch(await readiness(), /not as a registry/)
    upstream.on('/v2/', ({ head, reply, method }) => {
      const headers = { ...noRegistry, 'content-type': type }
      if (method === 'HEAD') head(status, { ...headers, 'content-length': String(body.length) })
      else reply(status, headers, body)
    })
    for (let times = 0; times < 2; times += 1) {
      await pass(minute + 1)
      const stale = await tag()
      assert.deepEqual([stale.status, stale.headers['x-cache']], [200, 'stale'])
      assert.match(String(stale.headers['warning']), new RegExp(`answered ${status}, but not as a`))
    }
    assert.match(await readiness(), new RegExp(`answered ${status}, but not as a registry does`))
    const cold = await tag('cold')
    assert.deepEqual([cold.status, codeOf(cold)], [502, 'UNAVAILABLE'])
    upstream.behave()
    await pass(minute + 1)
    assert.equal((await tag()).headers['warning'], undefined)
    assert.doesNotMatch(await readiness(), /not as a registry/)
  })

for (const body of [
  '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}',
  '{"errors":[{"code":"NOT_FOUND","message":"artifact p/r:v1 not found"}]}',
])
  test(`a 404 in the words of a registry is one, without its header: ${body} (C192)`, async (t) => {
    const pass = timeOf(t)
    await pullImage(berth, name, image, 'v1')
    upstream.on('/v2/', ({ reply }) => reply(404, noRegistry, body))
    await pass(minute + 1)
    assert.equal((await tag()).status, 404)
  })

/** HEAD is 404 for what was not fetched by GET before, as Harbor's proxy projects answer. */
function forgetfulHead(): void {
  const fetched = new Set<string>()
  upstream.misbehave(() => ({ method, path, head, reply }) => {
    const [, of = '', kind = '', last = ''] =
      /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(path) ?? []
    const blobs = new Map(
      [image, ...image.children].flatMap((each) =>
        each.blobs.map((blob) => [blob.digest as string, blob.bytes] as const),
      ),
    )
    const bytes = kind === 'blobs' ? blobs.get(last) : image.bytes
    if (bytes === undefined || (of !== name && of !== other)) return reply(404)
    if (method === 'HEAD' && !fetched.has(`${of} ${last}`))
      return head(404, { 'content-length': '0' })
    fetched.add(`${of} ${last}`)
    const digest = kind === 'blobs' ? last : image.digest
    const headers = { 'content-type': image.mediaType, 'docker-content-digest': digest }
    if (method === 'HEAD') return head(200, { ...headers, 'content-length': String(bytes.length) })
    reply(200, headers, bytes)
  })
}

test('a layer that HEAD does not know, and GET has, is served to a second repository (C186)', async () => {
  forgetfulHead()
  await pullImage(berth, name, image, 'v1')
  await pullImage(berth, other, image, 'v1')
})

test('a tag that HEAD does not know, and GET has, does not vanish after its time to live (C186)', async (t) => {
  const pass = timeOf(t)
  await pullImage(berth, name, image, 'v1')
  for (let times = 0; times < 3; times += 1) {
    forgetfulHead()
    await pass(minute + 1)
    const { status, headers } = await tag()
    assert.deepEqual([status, headers['warning']], [200, undefined])
  }
  // Three times it was asked for twice; then its HEAD is known to be worth nothing, for a while.
  forgetfulHead()
  await pass(minute + 1)
  const before = upstream.requests.length
  assert.equal((await tag()).status, 200)
  assert.deepEqual(
    upstream.requests.slice(before).map(({ method }) => method),
    ['GET'],
  )
  await pass(10 * minute)
  await tag()
  assert.ok(upstream.requests.slice(before).some(({ method }) => method === 'HEAD'))
})

test('a layer that neither HEAD nor GET has is not there, after two requests at most (C186)', async () => {
  const blob = randomBlob(10)
  const url = `${berth.url}/v2/${name}/blobs/${blob.digest}`
  const before = upstream.requests.length
  const reply = await get(url, { method: 'HEAD' })
  assert.equal(reply.status, 404)
  assert.ok(upstream.requests.length - before <= 2)
})
