import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { isRegistryError, type RegistryError } from '../../src/oci/errors.ts'
import { parseRepositoryName, type Tag } from '../../src/oci/reference.ts'
import type { Remote } from '../../src/remote/remote.ts'
import { eventually } from '../support/berth.ts'
import { useClock } from '../support/clock.ts'
import { type Image, makeImage, randomBlob } from '../support/images.ts'
import { type OpenRemote, openRemote, readAll, shortTimeouts } from '../support/remotes.ts'
import {
  type Answering,
  type ScriptedUpstream,
  startScriptedUpstream,
} from '../support/scripted-upstream.ts'

const name = parseRepositoryName('team/app')
const tag = 'v1' as Tag
const line = 'GET /v2/team/app/manifests/v1'

let upstream: ScriptedUpstream
let image: Image
let remote: Remote
let opened: Remote[]

before(async () => {
  upstream = await startScriptedUpstream()
  image = makeImage()
  upstream.put(name, tag, image)
})
after(() => upstream.close())
beforeEach(() => {
  upstream.behave()
  opened = []
  remote = open()
})
afterEach(() => Promise.all(opened.map((each) => each.close())))

function open(options: Partial<OpenRemote> = {}): Remote {
  const each = openRemote({ url: upstream.url, ...options })
  opened.push(each)
  return each
}

/** How many requests it takes until the outcome. */
async function counting(act: () => Promise<unknown>): Promise<number> {
  const before = upstream.requests.length
  await act()
  return upstream.requests.length - before
}

function refused(code: RegistryError['code'], status: number, message = /./) {
  return (error: unknown): boolean => {
    assert.ok(isRegistryError(error, code), String(error))
    assert.equal(error.status, status, error.message)
    assert.match(error.message, message)
    return true
  }
}

const failing =
  (status: number, headers = {}): Answering =>
  ({ reply }) =>
    reply(status, headers, '{"errors":[{"code":"X","message":"not my day"}]}')

test("5XX is retried twice, and then reported with the upstream's message (U47)", async () => {
  for (const status of [500, 502, 503, 504]) {
    upstream.behave()
    upstream.on(line, failing(status))
    const remote = open()
    const count = await counting(() =>
      assert.rejects(
        remote.manifest(name, { tag }),
        refused('UNAVAILABLE', 503, new RegExp(`answered ${status} to GET \\S+: not my day`)),
      ),
    )
    assert.equal(count, 3)
  }
})

test('a transient 5XX is retried, and the client gets a success (U47)', async () => {
  upstream.on(line, failing(503), 2)
  const manifest = await remote.manifest(name, { tag })
  assert.equal(manifest?.digest, image.digest)
})

test('a connection that breaks before the answer is replaced by another (U54)', async () => {
  upstream.on(line, ({ reset }) => reset(), 1)
  upstream.on(line, ({ end }) => end(), 1)
  const manifest = await remote.manifest(name, { tag })
  assert.equal(manifest?.digest, image.digest)
})

test('a kept-alive connection that the upstream closes during a request is replaced by another (U54)', async () => {
  for (let times = 0; times < 5; times += 1) {
    await remote.manifest(name, { tag })
    const { socket } = upstream.requests.at(-1) ?? {}
    socket?.end()
    assert.equal((await remote.manifest(name, { tag }))?.digest, image.digest)
  }
})

test('a request that times out is retried once (U27)', async () => {
  upstream.on(line, () => {})
  const impatient = open({ timeouts: { ...shortTimeouts, firstByte: 200 } })
  const count = await counting(() =>
    assert.rejects(impatient.manifest(name, { tag }), refused('UNAVAILABLE', 504, /no answer/)),
  )
  assert.equal(count, 2)
  const [first, second] = upstream.requests.slice(-2)
  assert.notEqual(first?.socket, second?.socket, 'on a new connection')
})

test('an upstream with a long Retry-After is not retried', async () => {
  for (const [asked, told] of [
    ['120', 120],
    ['31536000', 3600],
  ] as const) {
    upstream.behave()
    upstream.on(line, failing(503, { 'retry-after': asked }))
    const count = await counting(() =>
      assert.rejects(remote.manifest(name, { tag }), (error) => {
        assert.ok(isRegistryError(error, 'UNAVAILABLE'))
        return error.retryAfter === told
      }),
    )
    assert.equal(count, 1)
  }
})

test('401 and 403 are denials that name the account and the reason, without a retry (U43)', async () => {
  for (const status of [401, 403]) {
    upstream.behave()
    upstream.on(line, failing(status))
    const count = await counting(() =>
      assert.rejects(
        remote.manifest(name, { tag }),
        refused(
          'DENIED',
          403,
          /the tester was denied access to [^ ]+: http.* answered 40[13]: not my day/,
        ),
      ),
    )
    assert.equal(count, 1)
  }
})

test('404 is a miss', async () => {
  assert.equal(await remote.manifest(name, { tag: 'v2' as Tag }), undefined)
})

test('any other status is a failure of the upstream', async () => {
  for (const status of [204, 304, 405, 410, 418]) {
    upstream.behave()
    upstream.on(line, ({ reply }) => reply(status))
    await assert.rejects(remote.manifest(name, { tag }), refused('UNAVAILABLE', 502))
  }
  upstream.behave()
  upstream.on(line, failing(400))
  await assert.rejects(remote.manifest(name, { tag }), refused('NAME_INVALID', 400))
})

test('after a 429, requests wait for the throttle, and then for a probe (U46)', async () => {
  upstream.on(line, failing(429, { 'retry-after': '1' }), 3)
  const count = await counting(async () => {
    const patient = Array.from({ length: 5 }, () => remote.manifest(name, { tag }))
    await eventually('the upstream asks for quiet', () => remote.problem() !== undefined)
    for (const manifest of await Promise.all(patient)) assert.equal(manifest?.digest, image.digest)
  })
  assert.equal(count, 5 + 3)
  assert.equal(remote.problem(), undefined)
})

test('a longer 429 is not retried, and throttles the upstream for its Retry-After (U46)', async () => {
  upstream.on(line, failing(429, { 'retry-after': '45' }))
  const count = await counting(async () => {
    for (let times = 0; times < 10; times += 1)
      await assert.rejects(remote.manifest(name, { tag }), refused('UNAVAILABLE', 503, /429/))
  })
  assert.equal(count, 1)
  assert.match(remote.problem() ?? '', /throttles \(429\): manifest; Berth waits/)
})

test('five failures open the breaker, and clients get an immediate answer (U25)', async () => {
  await upstream.stop()
  try {
    for (let times = 0; times < 5; times += 1)
      await assert.rejects(remote.manifest(name, { tag }), /connection refused/)
    await assert.rejects(
      remote.manifest(name, { tag }),
      refused('UNAVAILABLE', 503, /not contacting http:.* after 5 failed connections: .*refused/),
    )
  } finally {
    await upstream.start()
  }
})

test('requests to an upstream with an open breaker fail without waiting for a slot (U25, L93)', async (t) => {
  await upstream.stop()
  try {
    for (let times = 0; times < 5; times += 1)
      await assert.rejects(remote.manifest(name, { tag }), /connection refused/)
    // While the clock stands still nobody's turn comes.
    useClock(t)
    const flood = Array.from({ length: 1000 }, () => remote.manifest(name, { tag }))
    for (const outcome of await Promise.allSettled(flood))
      assert.ok(outcome.status === 'rejected' && /not contacting/.test(String(outcome.reason)))
  } finally {
    await upstream.start()
  }
})

test('markup, control characters and long texts of the upstream are not passed on', async () => {
  for (const [body, message] of [
    ['<html><script>alert(1)</script></html>', /answered 403$/],
    ['{"other":"x"}', /answered 403$/],
    ['{"detail":"x\\u001b[31m"}', /answered 403: x \[31m$/],
    ['go\r\n\taway\u0000\u001b[31m', /answered 403: go away \[31m$/],
    ['x'.repeat(1000), /answered 403: x{300}$/],
    ['y'.repeat(100_000), /answered 403$/],
    ['', /answered 403$/],
  ] as const) {
    upstream.behave()
    upstream.on(line, ({ reply }) => reply(403, {}, body))
    await assert.rejects(remote.manifest(name, { tag }), refused('DENIED', 403, message))
  }
})

test('the slot of a request is released after any result (L96)', async () => {
  const endings: Answering[] = [
    ({ reply }) => reply(404),
    ({ reply }) => reply(200, {}, Buffer.alloc(6_000_000)),
    ({ reply }) => reply(200, {}, 'no manifest'),
    ({ reply }) => reply(204),
    failing(403),
    ({ reply }) => reply(302, { location: 'http://elsewhere.org/' }),
    async ({ head, write, reset }) => {
      head(200, { 'content-length': '100' })
      await write('half')
      reset()
    },
  ]
  for (const ending of endings) {
    upstream.behave()
    upstream.on(line, ending)
    // More than there are places.
    await Promise.allSettled(Array.from({ length: 40 }, () => remote.manifest(name, { tag })))
  }
  upstream.behave()
  assert.equal((await remote.manifest(name, { tag }))?.digest, image.digest)
})

test('the slot of a download is released after any result (L96)', async () => {
  const blob = randomBlob(500_000)
  upstream.putBlob(name, blob)
  type Found = NonNullable<Awaited<ReturnType<Remote['blob']>>>
  const endings: ((found: Found) => Promise<unknown>)[] = [
    async (found) => found.drop(),
    async (found) => assert.ok((await readAll(found.body)).equals(blob.bytes)),
    async (found) => {
      for await (const _ of found.body) break
    },
    async (found) => {
      const pieces = found.body[Symbol.asyncIterator]()
      await pieces.next()
      found.drop()
      await pieces.return?.()
    },
  ]
  for (const end of endings)
    for (let times = 0; times < 60; times += 1) {
      const found = await remote.blob(name, blob.digest, 0)
      assert.ok(found !== undefined)
      await end(found)
    }
})

test('downloads and other requests do not wait for each other', async () => {
  const blob = randomBlob(500_000)
  upstream.putBlob(name, blob)
  upstream.on('/blobs/', ({ head }) => head(200, { 'content-length': '500000' }))
  const downloads = await Promise.all(
    Array.from({ length: 24 }, () => remote.blob(name, blob.digest, 0)),
  )
  assert.equal((await remote.manifest(name, { tag }))?.digest, image.digest)
  for (const download of downloads) download?.drop()
})

test('an upstream with a short Retry-After is retried after it (U47)', async () => {
  const asked: number[] = []
  upstream.on(
    line,
    (exchange) => {
      asked.push(performance.now())
      return failing(503, { 'retry-after': '1' })(exchange)
    },
    1,
  )
  upstream.on(line, ({ reply }) => {
    asked.push(performance.now())
    reply(200, {}, image.bytes)
  })
  assert.equal((await remote.manifest(name, { tag }))?.digest, image.digest)
  const [first = 0, second = 0] = asked
  // Node's timers may be a millisecond early.
  assert.ok(second - first >= 990, `${second - first} ms`)
})

test('an extreme Retry-After is not passed on (U46)', async () => {
  upstream.on(line, failing(429, { 'retry-after': '999999999' }))
  for (let times = 0; times < 2; times += 1)
    await assert.rejects(remote.manifest(name, { tag }), (error) => {
      assert.ok(isRegistryError(error, 'UNAVAILABLE'))
      return error.retryAfter === 60
    })
})

test('cancelled downloads are not failures of the upstream (INV 9)', async () => {
  const blob = randomBlob(1000)
  for (let times = 0; times < 8; times += 1) {
    const leaving = new AbortController()
    upstream.on('/blobs/', () => leaving.abort(), 1)
    await assert.rejects(remote.blob(name, blob.digest, 0, { signal: leaving.signal }), {
      name: 'AbortError',
    })
  }
  assert.equal(remote.problem(), undefined)
  assert.equal((await remote.manifest(name, { tag }))?.digest, image.digest)
})
