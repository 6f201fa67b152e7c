import assert from 'node:assert/strict'
import { after, suite, test } from 'node:test'
import { eventually, strayFiles, visibleBlobs } from '../support/berth.ts'
import { codeOf, get, type Reply } from '../support/client.ts'
import { makeImage, manifestOf, randomBlob } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import type { Answering } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'
import { startWebServer } from '../support/web-server.ts'

const name = 'project/repository/app'
const image = makeImage()
const longestManifest = 4 * 1024 * 1024
const upstream = await useUpstream()
/** Whom nobody has listed: it gives whatever it is asked for. */
const stranger = await startWebServer((_seen, response) => {
  response.setHeader('content-type', image.mediaType)
  response.end(image.bytes)
})
after(stranger.close)
const berth = useBerth()
upstream.put(name, 'v1', image)

type Misbehaviour = { readonly what: string; readonly answer: Answering }

/** What a pull asks for: each of it is answered wrongly. */
const questions = [
  `manifests/v1`,
  `manifests/${image.digest}`,
  `blobs/${image.blobs[1]?.digest}`,
  'tags/list',
  `referrers/${image.digest}`,
] as const

const login = '<html><script>alert(1)</script>Sign in</html>'
const ok = { 'content-type': image.mediaType, 'docker-content-digest': image.digest }

const redirects: readonly Misbehaviour[] = [
  'http://169.254.169.254/computeMetadata/v1/',
  'https://127.0.0.1:1/x',
  'file:///etc/passwd',
  '//STRANGER/x',
  'http://STRANGER/x',
  'https://STRANGER/x',
  'http://user:password@STRANGER/x',
  'javascript:alert(1)',
  'http://',
].map((location) => ({
  what: `redirects to ${location}`,
  answer: ({ reply }) => reply(307, { location: location.replace('STRANGER', stranger.host) }),
}))

const challenges: readonly Misbehaviour[] = [
  'Bearer realm="http://STRANGER/token",service="x"',
  'Bearer realm="https://STRANGER/token",service="x"',
  'Bearer realm="http://u:p@STRANGER/token"',
  'Bearer realm="http://169.254.169.254/token"',
  'Bearer realm="file:///etc/passwd"',
  'Bearer realm="//STRANGER/token"',
  'Bearer realm="',
  `Bearer realm="http://STRANGER/${'x'.repeat(40_000)}"`,
  'Basic realm="x", Bearer realm="http://STRANGER/token"',
  'Negotiate',
  ', , ,"',
].map((challenge) => ({
  what: `wants a token by ${challenge.slice(0, 60)}`,
  answer: ({ reply }) =>
    reply(401, { 'www-authenticate': challenge.replace('STRANGER', stranger.host) }),
}))

const bodies: readonly Misbehaviour[] = [
  {
    what: 'sends a page to log in at',
    answer: ({ reply }) => reply(200, { 'content-type': 'text/html' }, login),
  },
  {
    what: 'sends a manifest without an end',
    answer: async ({ head, write, socket }) => {
      head(200, { ...ok, 'transfer-encoding': 'chunked' })
      const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`
      while (!socket.destroyed) await write(chunk)
    },
  },
  {
    what: 'says that it sends more than there is room for',
    answer: ({ head, socket }) => {
      head(200, { ...ok, 'content-length': String(Number.MAX_SAFE_INTEGER) })
      socket.end('x')
    },
  },
  {
    what: 'sends other bytes of the right length',
    answer: ({ reply, path }) => {
      const size = path.includes('blobs') ? image.blobs[1]?.bytes.length : image.bytes.length
      reply(200, ok, Buffer.alloc(size ?? 0, 'x'))
    },
  },
]

const heads: readonly Misbehaviour[] = [
  {
    what: 'sends headers of 200 kB',
    answer: ({ reply }) => reply(200, { ...ok, x: 'x'.repeat(200_000) }, image.bytes),
  },
  {
    what: 'says two lengths',
    answer: ({ head, socket }) => {
      head(200, { ...ok, 'content-length': ['10', '20'] })
      socket.write('x'.repeat(20))
    },
  },
  {
    what: 'says a length and sends chunks',
    answer: ({ head, socket }) => {
      head(200, { ...ok, 'content-length': '3', 'transfer-encoding': 'chunked' })
      socket.write('3\r\nabc\r\n0\r\n\r\n')
    },
  },
  { what: 'speaks no HTTP', answer: ({ socket }) => void socket.end('220 smtp.example ESMTP\r\n') },
  { what: 'says nothing and hangs up', answer: ({ end }) => end() },
  { what: 'answers with a status from elsewhere', answer: ({ reply }) => reply(299, ok, login) },
  { what: 'answers that it is a teapot', answer: ({ reply }) => reply(418, {}, login) },
  {
    what: 'is broken, and wants to be left alone for a year',
    answer: ({ reply }) => reply(503, { 'retry-after': '31536000' }, login),
  },
]

/** An answer that says that it went wrong, and nothing that could be taken for anything else. */
function assertFault(reply: Reply, what: string): void {
  const { status, headers, body } = reply
  assert.ok([403, 502, 503, 504].includes(status), `${what}: ${status} ${body}`)
  assert.equal(headers['content-type'], 'application/json', what)
  assert.equal(headers['x-content-type-options'], 'nosniff', what)
  assert.match(codeOf(reply) ?? '', /^[A-Z_]+$/, what)
  assert.doesNotMatch(body.toString(), /<|password|smtp/, what)
  assert.equal(headers['location'], undefined, what)
  assert.equal(headers['www-authenticate'], undefined, what)
  const after = Number(headers['retry-after'] ?? 1)
  assert.ok(after >= 1 && after <= 3600, `${what}: Retry-After ${after}`)
}

/** Lists need not be there: a registry without them answers in many ways. */
function assertFaultOrNothing(reply: Reply, question: string, what: string): void {
  const isNothing =
    (question.startsWith('referrers') && reply.status === 200) ||
    (question.startsWith('tags') && reply.status === 404)
  if (!isNothing) return assertFault(reply, what)
  assert.doesNotMatch(reply.body.toString(), /<|password|smtp/, what)
}

/** A response to HEAD: it may have believed the upstream's headers, but passes none of them on. */
function assertHarmlessHead({ status, headers, body }: Reply, what: string): void {
  assert.ok([200, 403, 404, 502, 503, 504].includes(status), `${what}: ${status}`)
  assert.doesNotMatch(String(headers['content-type']), /html|javascript/, what)
  assert.equal(headers['location'], undefined, what)
  assert.equal(headers['www-authenticate'], undefined, what)
  assert.equal(body.length, 0, what)
}

/** A Berth whose upstream misbehaves, and then behaves again. */
async function withBerth(answer: Answering, use: () => Promise<void>): Promise<void> {
  await berth.start({
    config: {
      limits: { fillStall: '500ms' },
      storage: { cache: { maxSize: '32MiB' } },
      upstreams: [
        {
          url: upstream.url,
          credentials: { type: 'static', username: 'berth', password: 'upstream-canary-1f0c' },
        },
      ],
    },
  })
  upstream.on('/v2/', answer)
  const contacts = stranger.requests.length
  try {
    await use()
    assert.equal(stranger.requests.length, contacts, 'nobody else was asked')
    assert.deepEqual(await visibleBlobs(berth.cache), [], 'nothing is cached')
    assert.deepEqual(await strayFiles(berth.cache), [])
    const log = JSON.stringify(berth.logs())
    assert.doesNotMatch(log, /upstream-canary|<script|TypeError|user:password/)
    assert.equal((await get(`${berth.admin}/livez`)).status, 200)
  } finally {
    upstream.behave()
  }
}

const kinds = { redirects, challenges, bodies, heads }

for (const [kind, misbehaviours] of Object.entries(kinds))
  suite(`an upstream's ${kind}`, () => {
    for (const { what, answer } of misbehaviours)
      test(`which ${what}`, async () => {
        await withBerth(answer, async () => {
          for (const question of questions)
            for (const method of ['GET', 'HEAD']) {
              const reply = await get(`${berth.url}/v2/${name}/${question}`, { method })
              if (method === 'HEAD') assertHarmlessHead(reply, `HEAD ${question}: ${what}`)
              else if (!reply.complete) assert.match(question, /^blobs/, 'only blobs are cut')
              else assertFaultOrNothing(reply, question, `${question}: ${what}`)
            }
        })
      })
  })

test('an upstream that was hostile and is not any more is pulled from', async () => {
  await berth.start({ config: { upstreams: [{ url: upstream.url }] } })
  for (const { answer } of [...redirects, ...challenges].slice(0, 15)) {
    upstream.on('/v2/', answer)
    await get(`${berth.url}/v2/${name}/manifests/v1`)
    upstream.behave()
  }
  await eventually('the image can be pulled', async () => {
    const { status } = await get(`${berth.url}/v2/${name}/manifests/v1`)
    return status === 200
  })
  await pullImage(berth, name, image, 'v1')
})

suite('a manifest that says of itself', () => {
  const berth = useBerth({ shared: true, config: { upstreams: [{ url: upstream.url }] } })

  for (const [at, mediaType] of [
    'text/html',
    'TEXT/HTML',
    'text/javascript',
    'image/svg+xml',
    'application/xhtml+xml',
    'application/javascript',
    'application/pdf',
    'text/html;charset=utf-8',
    'application/json\r\nset-cookie: evil=1',
    'multipart/x-mixed-replace',
  ].entries())
    test(`that it is ${JSON.stringify(mediaType)} is refused, and is no page (X182)`, async () => {
      const page = manifestOf(mediaType, { layers: [], config: {}, annotations: { x: login } })
      upstream.put(name, `page-${at}`, page)
      for (const reference of [`page-${at}`, page.digest]) {
        const reply = await get(`${berth.url}/v2/${name}/manifests/${reference}`)
        assertFault(reply, reference)
        assert.equal(codeOf(reply), 'MANIFEST_INVALID')
      }
    })

  test('that it is of a type that nobody knows yet is passed on', async () => {
    const mediaType = 'application/vnd.example.thing.v3+json'
    const unknown = manifestOf(mediaType, { layers: [] })
    upstream.put(name, 'unknown', unknown)
    const reply = await get(`${berth.url}/v2/${name}/manifests/unknown`)
    assert.equal(reply.headers['content-type'], mediaType)
    assert.deepEqual(reply.body, unknown.bytes)
  })

  test('that it is larger than a manifest may be is not stored', async () => {
    const padding = ' '.repeat(longestManifest)
    const oversized = manifestOf(image.mediaType, { layers: [], config: {}, padding })
    upstream.put(name, 'oversized', oversized)
    for (const reference of ['oversized', oversized.digest]) {
      const reply = await get(`${berth.url}/v2/${name}/manifests/${reference}`)
      assertFault(reply, reference)
      assert.equal(codeOf(reply), 'SIZE_INVALID')
    }
  })
})

test('a blob is bytes to a browser, whatever it is and whatever the upstream says of it (X182)', async () => {
  await berth.start({ config: { upstreams: [{ url: upstream.url }] } })
  const page = randomBlob(100)
  upstream.on(page.digest, ({ reply }) =>
    reply(200, { 'content-type': 'text/html', 'set-cookie': 'evil=1', refresh: '0' }, page.bytes),
  )
  for (const state of ['miss', 'hit']) {
    const { headers, status } = await get(`${berth.url}/v2/${name}/blobs/${page.digest}`)
    assert.equal(status, 200)
    assert.equal(headers['x-cache'], state)
    assert.equal(headers['content-type'], 'application/octet-stream')
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(headers['set-cookie'], undefined)
    assert.equal(headers['refresh'], undefined)
  }
  upstream.behave()
})
