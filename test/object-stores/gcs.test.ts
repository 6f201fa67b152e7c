import assert from 'node:assert/strict'
import { createHash, randomBytes, sign, verify } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { checkBucket } from '../../src/doctor/doctor.ts'
import { createGcsStore } from '../../src/object-stores/object-stores.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { type Bucket, ObjectStoreError } from '../../src/store/store.ts'
import { useDirectory } from '../support/directory.ts'
import {
  answer,
  answerJson,
  type FakeServer,
  type Recorded,
  startFakeServer,
} from '../support/fake-server.ts'
import { type GoogleKey, startGoogleKey } from '../support/google-key.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

type Reply = (response: ServerResponse, request: Recorded) => void

const created = '2026-11-30T01:02:03.456Z'
const object = { name: 'x', size: '5', generation: '7', timeCreated: created }
const watched = watchedTelemetry()

/** How the next requests are answered; then with an object. */
let replies: Reply[] = []
/** Of the bucket, which denies all else. */
let settings: object | undefined
const directory = await useDirectory()
let key: GoogleKey
let server: FakeServer
let store: Bucket
/** Number of requests before a test. */
let begun = 0

before(async () => {
  key = await startGoogleKey(directory)
  server = await startFakeServer((request, response) => {
    if (settings !== undefined)
      return request.path.startsWith('/storage/v1/b/b?')
        ? answerJson(response, 200, settings)
        : fails(403, 'forbidden')(response, request)
    const reply = replies.shift() ?? ((to: ServerResponse) => answerJson(to, 200, object))
    reply(response, request)
  })
})
after(async () => {
  await Promise.all([server.stop(), key.close()])
})
beforeEach(() => {
  replies = []
  settings = undefined
  begun = server.requests.length
  store = open(key.file)
})
afterEach(async () => {
  await store.close()
  assert.doesNotMatch(JSON.stringify(watched.logs()), /canary|upload_id|X-Goog-Signature/)
})

const open = (file: string) =>
  createGcsStore(
    { bucket: 'b', endpoint: server.url, ambient: { file } },
    { outbound: createOutbound(), telemetry: watched.telemetry },
  )

const sent = () => server.requests.slice(begun)
const lines = () => sent().map(({ method, path }) => `${method} ${path}`)

function fails(status: number, reason: string, message = 'no', headers = {}): Reply {
  const body = JSON.stringify({ error: { code: status, message, errors: [{ reason }] } })
  return (response) =>
    answer(response, status, { 'content-type': 'application/json', ...headers }, body)
}

const cut: Reply = (response) => response.destroy()
const ok: Reply = (response) => answerJson(response, 200, object)
/** Google does not say with the bytes when they were written. */
const bytes =
  (text: string, generation: string): Reply =>
  (response) =>
    answer(response, 200, { 'x-goog-generation': generation }, text)

for (const [what, reply] of [
  [
    '429',
    fails(429, 'rateLimitExceeded', 'The object exceeded the rate limit', { 'retry-after': '0' }),
  ],
  ['403 for too many requests', fails(403, 'userRateLimitExceeded')],
  ['503', fails(503, 'backendError')],
  ['500', fails(500, 'backendError')],
  ['a connection that breaks', cut],
] as const)
  test(`after ${what} a write is attempted again`, async () => {
    replies = [reply]
    const written = await store.put('a/x', Buffer.from('bytes'), { version: '6' })
    assert.deepEqual(written, { kind: 'created', version: '7' })
    const [first, ...others] = lines()
    assert.equal(
      first,
      'POST /upload/storage/v1/b/b/o?uploadType=multipart&name=a%2Fx&fields=generation&ifGenerationMatch=6',
    )
    assert.deepEqual(others, [first])
    assert.match(sent()[1]?.body ?? '', /octet-stream\r\n\r\nbytes\r\n--/)
  })

test('a token that is rejected is replaced by another one', async () => {
  // Tokens are not requested more often than once in a second.
  replies = [fails(401, 'authError'), fails(401, 'authError')]
  assert.equal((await store.head('x'))?.version, '7')
  assert.equal(new Set(sent().map(({ headers }) => headers.authorization)).size, 2)
})

for (const [what, reply, failure, advice] of [
  [
    'a denial',
    fails(403, 'forbidden', 'berth has no storage.objects.get access'),
    'denied',
    /grant roles\/storage\.objectUser on the bucket to berth@my-project/,
  ],
  [
    'a missing bucket',
    (response: ServerResponse) => answer(response, 404, {}, 'The specified bucket does not exist.'),
    'gone',
    /create the bucket/,
  ],
] as const)
  test(`${what} is an error at once, which says what to change`, async () => {
    replies = [reply]
    await assert.rejects(store.read('x'), (error) => {
      assert.ok(error instanceof ObjectStoreError)
      assert.equal(error.failure, failure)
      assert.match(error.message, /^cannot read x in gs:\/\/b: 40[34] /)
      assert.match(error.advice ?? error.message, advice)
      return true
    })
    assert.equal(sent().length, 1)
  })

test('a write whose condition is not met writes nothing', async () => {
  const denied = fails(412, 'conditionNotMet')
  replies = [denied, denied, cut, denied]
  const write = (condition: Parameters<Bucket['put']>[2]) =>
    store.put('x', Buffer.from('y'), condition)
  assert.deepEqual(await write('absent'), { kind: 'exists' })
  assert.match(lines()[0] ?? '', /ifGenerationMatch=0$/)
  assert.deepEqual(await write({ version: '3' }), { kind: 'conflict' })
  // It was written before the connection broke.
  assert.deepEqual(await write('absent'), { kind: 'exists' })
})

test('what is missing is undefined, and deleted', async () => {
  const missing = fails(404, 'notFound', 'No such object: b/x')
  replies = [missing, missing, missing, missing]
  assert.equal(await store.read('x'), undefined)
  assert.equal(await store.head('x'), undefined)
  assert.equal(await store.get('x'), undefined)
  await store.delete(['x'])
  assert.match(lines()[3] ?? '', /^DELETE \/storage\/v1\/b\/b\/o\/x/)
})

test('the date and the version of an object are those of the bytes that are read', async () => {
  // It is replaced after the first request.
  replies = [bytes('old', '6'), ok, bytes('bytes', '7'), ok]
  const head = { size: 5, version: '7', modified: Date.parse('2026-11-30T01:02:03Z') }
  assert.deepEqual(await store.read('x'), { bytes: Buffer.from('bytes'), head })
  assert.deepEqual(await store.head('x'), head)
})

test('a list has pages', async () => {
  const item = (name: string) => ({ ...object, name })
  replies = [
    (response) =>
      answerJson(response, 200, { items: [item('a'), item('b')], nextPageToken: 'b/next' }),
    (response) => answerJson(response, 200, { prefixes: ['c/'] }),
  ]
  const keys: string[] = []
  for await (const page of store.list('', { after: 'a', delimiter: '/' }))
    keys.push(...page.objects.map((each) => each.key), ...page.prefixes)
  assert.deepEqual(keys, ['b', 'c/'])
  assert.match(lines()[0] ?? '', /fields=items.*startOffset=a&delimiter=%2F$/)
  assert.match(lines()[1] ?? '', /&pageToken=b%2Fnext$/)
})

/** 17 MiB, in a file. */
const large = randomBytes(17 * 1024 * 1024)
const sessionPath = '/upload/storage/v1/b/b/o?uploadType=resumable&upload_id=canary'

/** Sessions as Google documents them, after `faults`; a fault may store a part of what it was sent. */
function startSessions(faults: readonly ((response: ServerResponse) => number)[]): {
  readonly stored: () => Buffer
} {
  let stored = Buffer.alloc(0)
  const left = [...faults]
  const reply: Reply = (response, { method, headers, bytes: received }) => {
    replies.unshift(reply)
    if (method === 'DELETE') return answer(response, 499)
    if (method === 'POST') {
      stored = Buffer.alloc(0)
      return answer(response, 200, { location: `${server.url}${sessionPath}` })
    }
    const [, from, total] =
      /^bytes (?:(\d+)-\d+|\*)\/(\d+)$/.exec(headers['content-range'] ?? '') ?? []
    if (from !== undefined && Number(from) !== stored.length) return answer(response, 400)
    const fault = from === undefined ? undefined : left.shift()
    stored = Buffer.concat([stored, received.subarray(0, fault?.(response))])
    if (fault !== undefined) return
    if (stored.length === Number(total)) return answerJson(response, 200, { generation: '9' })
    const range: Record<string, string> =
      stored.length === 0 ? {} : { range: `bytes=0-${stored.length - 1}` }
    answer(response, 308, range)
  }
  replies = [reply]
  return { stored: () => stored }
}

const breaksAfter = (size: number) => (response: ServerResponse) => {
  response.destroy()
  return size
}
const refuses = (status: number) => (response: ServerResponse) => {
  answer(response, status)
  return 0
}

async function putLarge() {
  const path = join(directory, 'large')
  await writeFile(path, large)
  return store.put('x', { path, size: large.length }, 'absent')
}

test('an upload in parts continues with the bytes that the bucket lacks', async () => {
  const { stored } = startSessions([
    breaksAfter(1_000_000),
    refuses(503),
    breaksAfter(large.length),
  ])
  assert.deepEqual(await putLarge(), { kind: 'created', version: '9' })
  assert.ok(stored().equals(large))
  const [start, ...parts] = sent()
  assert.match(
    start?.path ?? '',
    /uploadType=resumable&name=x&fields=generation&ifGenerationMatch=0$/,
  )
  assert.ok(parts.every(({ headers }) => headers.authorization === undefined))
})

test('an upload that cannot continue is canceled', async () => {
  startSessions([refuses(400)])
  await assert.rejects(putLarge(), /cannot write x in gs:\/\/b: 400/)
  assert.equal(lines().at(-1), `DELETE ${sessionPath}`)
  startSessions(Array.from({ length: 4 }, () => refuses(503)))
  await assert.rejects(putLarge(), /cannot write x in gs:\/\/b: 503/)
  assert.equal(lines().at(-1), `DELETE ${sessionPath}`)
})

test('an upload whose session is lost begins again, a few times', async () => {
  const begins = () => sent().filter(({ method }) => method === 'POST').length
  const { stored } = startSessions([breaksAfter(1_000_000), refuses(410)])
  assert.deepEqual(await putLarge(), { kind: 'created', version: '9' })
  assert.ok(stored().equals(large))
  assert.equal(begins(), 2)
  begun = server.requests.length
  startSessions(Array.from({ length: 4 }, () => refuses(404)))
  await assert.rejects(putLarge(), /cannot write x in gs:\/\/b: 404/)
  assert.equal(begins(), 3)
})

test('an upload in parts does not replace an object', async () => {
  startSessions([refuses(412)])
  assert.deepEqual(await putLarge(), { kind: 'exists' })
  replies = [fails(412, 'conditionNotMet')]
  assert.deepEqual(await putLarge(), { kind: 'exists' })
})

/** Verifies Google's V4 signature. */
function checkUrl(signed: string, path: string): void {
  const url = new URL(signed)
  assert.equal(url.origin + url.pathname, server.url + path)
  const {
    date = '',
    credential,
    expires,
  } = Object.fromEntries(
    ['Date', 'Credential', 'Expires'].map((name) => [
      name.toLowerCase(),
      url.searchParams.get(`X-Goog-${name}`) ?? '',
    ]),
  )
  const scope = `${date.slice(0, 8)}/auto/storage/goog4_request`
  assert.deepEqual([credential, expires], [`${key.account}/${scope}`, '900'])
  const [query] = url.search.slice(1).split('&X-Goog-Signature=')
  const canonical = ['GET', url.pathname, query, `host:${url.host}`, '', 'host', 'UNSIGNED-PAYLOAD']
  const digest = createHash('sha256').update(canonical.join('\n')).digest('hex')
  const text = `GOOG4-RSA-SHA256\n${date}\n${scope}\n${digest}`
  const signature = Buffer.from(url.searchParams.get('X-Goog-Signature') ?? '', 'hex')
  assert.ok(verify('RSA-SHA256', Buffer.from(text), key.publicKey, signature))
}

test('a URL is signed with the key of the service account', async () => {
  checkUrl(await store.sign('a b/x(1)', 900), '/b/a%20b/x%281%29')
  assert.deepEqual(sent(), [])
})

test('without a key IAM signs a URL, or says which role is missing', async () => {
  const account = `/v1/projects/-/serviceAccounts/${key.account}`
  const file = join(directory, 'impersonated.json')
  const configuration = {
    type: 'impersonated_service_account',
    service_account_impersonation_url: `${server.url}${account}:generateAccessToken`,
    source_credentials: JSON.parse(await readFile(key.file, 'utf8')) as object,
  }
  await writeFile(file, JSON.stringify(configuration))
  const token: Reply = (response) =>
    answerJson(response, 200, {
      accessToken: 'ya29.c.canary-own',
      expireTime: '2100-01-01T00:00:00Z',
    })
  replies = [
    token,
    (response, { body }) => {
      const { payload } = JSON.parse(body) as { readonly payload: string }
      const signedBlob = sign('RSA-SHA256', Buffer.from(payload, 'base64'), key.privateKey)
      answerJson(response, 200, { keyId: 'k', signedBlob: signedBlob.toString('base64') })
    },
  ]
  const other = open(file)
  const url = await other.sign('x', 900)
  checkUrl(url, '/b/x')
  assert.equal(lines().at(-1), `POST ${account}:signBlob`)
  assert.equal(sent().at(-1)?.headers.authorization, 'Bearer ya29.c.canary-own')
  assert.equal(await other.sign('x', 900), url)
  replies = [
    (response) =>
      answerJson(response, 403, {
        error: {
          code: 403,
          status: 'PERMISSION_DENIED',
          message: 'iam.serviceAccounts.signBlob denied',
        },
      }),
  ]
  await assert.rejects(other.sign('y', 900), (error: Error & { readonly advice?: string }) => {
    assert.match(
      error.message,
      /: cannot sign as berth@.*: 127.0.0.1:\d+ answered 403 PERMISSION_DENIED/,
    )
    assert.match(error.advice ?? '', /^grant roles\/iam\.serviceAccountTokenCreator on berth@/)
    return true
  })
  await other.close()
})

test('the doctor says where a bucket is, what it keeps, and which rules delete images', async () => {
  const rule = (type: string, condition: object) => ({ action: { type }, condition })
  const outcomes = async (answered: object) => {
    settings = answered
    const found: string[] = []
    const checked = {
      use: 'hosted',
      bucket: store,
      prefix: 'registry',
      isRedirected: false,
    } as const
    for await (const { step, outcome, message } of checkBucket(checked))
      if (['location', 'versioning', 'lifecycle'].includes(step))
        found.push(`${step} ${outcome}: ${message}`)
    return found
  }
  assert.deepEqual(
    await outcomes({
      location: 'EU',
      softDeletePolicy: { retentionDurationSeconds: '604800' },
      lifecycle: {
        rule: [
          rule('Delete', { age: 30, matchesPrefix: ['other/'] }),
          rule('Delete', { daysSinceNoncurrentTime: 7 }),
          rule('SetStorageClass', { age: 30 }),
        ],
      },
    }),
    [
      'location ok: the bucket is in EU',
      'versioning ok: the bucket keeps what was deleted for 7 days',
    ],
  )
  assert.deepEqual(
    await outcomes({
      versioning: { enabled: true },
      retentionPolicy: { retentionPeriod: '86400' },
      lifecycle: { rule: [rule('Delete', { age: 30, matchesPrefix: ['registry/docker/'] })] },
    }),
    [
      'versioning ok: the bucket keeps old versions',
      'lifecycle failed: a rule deletes objects of images below registry/docker/',
      'lifecycle failed: no object can be replaced or deleted for 1 days',
    ],
  )
})
