import assert from 'node:assert/strict'
import { beforeEach, suite, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { createAuthority } from '../support/certificates.ts'
import { codeOf, get, type Reply } from '../support/client.ts'
import { useForwardClock } from '../support/clock.ts'
import { type Image, makeImage } from '../support/images.ts'
import { pullBlob, pullImage } from '../support/pull.ts'
import { settle } from '../support/remotes.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'
import { startWebServer } from '../support/web-server.ts'

const name = 'p/r'
const minute = 60_000
const upstream = await useUpstream()
const berth = useBerth({ config: config() })
let image: Image

beforeEach(() => {
  image = makeImage()
  upstream.put(name, 'v1', image)
})

function config(options: object = {}) {
  return { upstreams: [{ url: upstream.url, ...options }] }
}

const manifestUrl = (reference: string) => `${berth.url}/v2/${name}/manifests/${reference}`
const blobUrl = (digest: string) => `${berth.url}/v2/${name}/blobs/${digest}`

/** An error as the specification has it, which says when to try again if that may help. */
function assertError(reply: Reply, [status, code]: readonly [number, string]): void {
  assert.deepEqual([reply.status, codeOf(reply)], [status, code], reply.body.toString())
  assert.equal(reply.headers['content-type'], 'application/json')
  assert.equal(reply.complete, true)
  if (status === 503) assert.ok(Number(reply.headers['retry-after']) >= 1)
}

type Trouble = {
  readonly begin: () => Promise<void> | void
  readonly end?: () => Promise<void>
  /** What those are told who ask for what is not cached. */
  readonly cold: readonly [status: number, code: string]
  /** What becomes of a tag that is cached, and not fresh. */
  readonly tag: 'stale' | 'DENIED' | 'MANIFEST_UNKNOWN'
  /** Requests that one question makes, at most. */
  readonly most: number
  readonly timeouts?: Readonly<Record<string, string>>
}

const answering = (status: number, headers: Readonly<Record<string, string>> = {}, body = '') => {
  return () => upstream.on('/v2/', ({ reply }) => reply(status, headers, body))
}
const html = '<!doctype html><title>Please log in</title>'
const loop = { location: '/v2/p/r/around' }

const troubles: Readonly<Record<string, Trouble>> = {
  'is not there (U25)': {
    begin: () => upstream.stop(),
    end: () => upstream.start(),
    cold: [503, 'UNAVAILABLE'],
    tag: 'stale',
    most: 0,
  },
  'hangs up (U54)': {
    begin: () => upstream.on('/v2/', ({ reset }) => reset()),
    cold: [503, 'UNAVAILABLE'],
    tag: 'stale',
    most: 3,
  },
  'does not answer (U27)': {
    begin: () => upstream.on('/v2/', () => {}),
    cold: [504, 'UNAVAILABLE'],
    tag: 'stale',
    most: 2,
    timeouts: { firstByte: '300ms' },
  },
  'speaks no HTTP (U55)': {
    begin: () => upstream.on('/v2/', ({ socket }) => void socket.write('SSH-2.0-OpenSSH_9.9\r\n')),
    cold: [502, 'UNAVAILABLE'],
    tag: 'stale',
    most: 1,
  },
  'sends headers without an end (U55)': {
    begin: () => upstream.on('/v2/', ({ head }) => head(200, { 'x-large': 'x'.repeat(200_000) })),
    cold: [502, 'UNAVAILABLE'],
    tag: 'stale',
    most: 1,
  },
  ...Object.fromEntries(
    [500, 503].map((status): [string, Trouble] => [
      `answers ${status} (U47)`,
      { begin: answering(status, {}, html), cold: [503, 'UNAVAILABLE'], tag: 'stale', most: 3 },
    ]),
  ),
  'asks for quiet for an hour (U46)': {
    begin: answering(429, { 'retry-after': '3600' }),
    cold: [503, 'UNAVAILABLE'],
    tag: 'stale',
    most: 1,
  },
  'knows us no more (U41)': {
    begin: answering(401),
    cold: [403, 'DENIED'],
    tag: 'DENIED',
    most: 2,
  },
  'refuses us (U43)': { begin: answering(403), cold: [403, 'DENIED'], tag: 'DENIED', most: 1 },
  'has nothing any more (U44)': {
    begin: answering(404),
    cold: [404, 'MANIFEST_UNKNOWN'],
    tag: 'MANIFEST_UNKNOWN',
    most: 1,
  },
  'answers 418': { begin: answering(418), cold: [502, 'UNAVAILABLE'], tag: 'stale', most: 2 },
  'sends everybody to a page (U39)': {
    begin: answering(200, { 'content-type': 'text/html' }, html),
    cold: [502, 'UNAVAILABLE'],
    tag: 'stale',
    most: 2,
  },
  'redirects in circles (U48)': {
    begin: answering(302, loop),
    cold: [502, 'UNAVAILABLE'],
    tag: 'stale',
    most: 4,
  },
  'redirects to where it may not (U49)': {
    begin: answering(302, { location: 'http://elsewhere.example/v2/' }),
    cold: [502, 'UNAVAILABLE'],
    tag: 'stale',
    most: 1,
  },
}

for (const [what, { begin, end, cold, tag, most, timeouts }] of Object.entries(troubles)) {
  suite(`while the upstream ${what}`, () => {
    beforeEach(async () => {
      if (timeouts === undefined) return
      await berth.start({ config: config({ timeouts }) })
    })

    test('what is not cached is an error that says so, after few requests (INV-22)', async () => {
      const before = upstream.requests.length
      await begin()
      try {
        assertError(await get(manifestUrl('v1')), cold)
        const asked = upstream.requests.length - before
        assert.ok(asked <= most, `${asked} requests`)
        const { digest } = makeImage()
        const others = await Promise.all([get(manifestUrl(digest)), get(blobUrl(digest))])
        for (const reply of others) {
          const isMiss = cold[0] === 404
          assert.ok(isMiss ? reply.status === 404 : reply.status === 200 || reply.status >= 403)
          assert.notEqual(reply.status === 200 && reply.complete, true)
        }
      } finally {
        await end?.()
      }
    })

    test('what is cached is served, before and after a restart (INV-19)', async (t) => {
      const clock = useForwardClock(t)
      await pullImage(berth, name, image, 'v1')
      clock.advance(minute + 1)
      await settle()
      await begin()
      try {
        await assertServed()
        await assertTag(tag)
        await berth.restart()
        await assertServed()
        await assertTag(tag)
      } finally {
        await end?.()
      }
    })

    test('and when it is over, the tag is asked for again (U56)', async (t) => {
      const clock = useForwardClock(t)
      await pullImage(berth, name, image, 'v1')
      clock.advance(minute + 1)
      await settle()
      await begin()
      await get(manifestUrl('v1'))
      upstream.behave()
      await end?.()
      const moved = makeImage()
      upstream.put(name, 'v1', moved)
      clock.advance(minute + 1)
      await settle()
      // Stale until the question that is under way, to an upstream that does not answer, has failed.
      await eventually('the tag moves', async () =>
        (await get(manifestUrl('v1'))).body.equals(moved.bytes),
      )
      await pullImage(berth, name, moved, 'v1')
      assert.equal((await get(manifestUrl('v1'))).headers['warning'], undefined)
    })
  })
}

/** By digest, without a question to the upstream. */
async function assertServed(): Promise<void> {
  const asked = upstream.requests.length
  await pullImage(berth, name, image)
  for (const blob of image.blobs) {
    assert.equal(await pullBlob(berth, name, blob), 'hit')
    assert.equal((await get(blobUrl(blob.digest), { method: 'HEAD' })).status, 200)
  }
  assert.equal(upstream.requests.length, asked)
}

async function assertTag(state: Trouble['tag']): Promise<void> {
  const reply = await get(manifestUrl('v1'))
  if (state !== 'stale') return assertError(reply, state === 'DENIED' ? [403, state] : [404, state])
  assert.equal(reply.status, 200)
  assert.deepEqual(reply.body, image.bytes)
  assert.equal(reply.headers['x-cache'], 'stale')
  assert.match(String(reply.headers['warning']), /^299 - "this tag was last validated \d+ s ago/)
}

test('a refusal for one repository is none for another, and soon forgotten (U43)', async (t) => {
  const clock = useForwardClock(t)
  const other = makeImage()
  upstream.put('p/other', 'v1', other)
  upstream.on(`/v2/${name}/`, ({ reply }) => reply(403))
  const all = [image.digest, 'v1'].map(manifestUrl).concat(image.blobs.map(blobOf))
  for (const url of all) assertError(await get(url), [403, 'DENIED'])
  await pullImage(berth, 'p/other', other, 'v1')
  upstream.behave()
  clock.advance(2001)
  await settle()
  await pullImage(berth, name, image, 'v1')
})

const blobOf = ({ digest }: { readonly digest: string }) => blobUrl(digest)

test('a redirect to a listed host that is dead is an error, and one of the next pulls succeeds', async (t) => {
  const clock = useForwardClock(t)
  // On an address of its own, so that nobody else gets its port.
  const storage = await startWebServer(() => {}, { host: '127.0.0.77' })
  await storage.close()
  await berth.start({ config: config({ redirects: [storage.url] }) })
  const [, layer] = image.blobs
  assert.ok(layer !== undefined)
  upstream.on(`blobs/${layer.digest}`, ({ reply }) =>
    reply(307, { location: `${storage.url}/object` }),
  )
  assertError(await get(blobOf(layer)), [503, 'UNAVAILABLE'])
  upstream.behave()
  clock.advance(2001)
  await settle()
  await pullImage(berth, name, image, 'v1')
})

test('a redirect to a host that is not listed asks it nothing, and is told with what would allow it (U49)', async (t) => {
  const stranger = await startWebServer((_seen, response) => void response.end('x'))
  t.after(stranger.close)
  const [, layer] = image.blobs
  assert.ok(layer !== undefined)
  upstream.on(`blobs/${layer.digest}`, ({ reply }) =>
    reply(307, { location: `${stranger.url}/object` }),
  )
  const reply = await get(blobOf(layer))
  assertError(reply, [502, 'UNAVAILABLE'])
  assert.match(reply.body.toString(), /list http:.* under upstreams\[\]\.redirects/)
  assert.equal(stranger.connections.opened, 0)
})

test('a certificate that nobody vouches for is an error that says so, and nothing is asked (U26)', async (t) => {
  const authority = await createAuthority('unknown')
  const server = await startWebServer((_seen, response) => void response.end('{}'), {
    tls: await authority.issue(['IP:127.0.0.1']),
  })
  t.after(async () => {
    await server.close()
    await authority.remove()
  })
  await berth.start({ config: config({ url: server.url }) })
  const reply = await get(manifestUrl('v1'))
  assertError(reply, [502, 'UNAVAILABLE'])
  assert.match(reply.body.toString(), /PEM file: certificateAuthorities/)
  assert.deepEqual(server.requests, [])
})
