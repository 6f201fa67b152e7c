import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { createS3Store } from '../../src/object-stores/object-stores.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { type ObjectStore, ObjectStoreError } from '../../src/store/store.ts'
import { setAwsEnvironment } from '../support/aws.ts'
import { answer, type FakeServer, type Recorded, startFakeServer } from '../support/fake-server.ts'
import { all } from '../support/hosted-store.ts'
import { watchedTelemetry } from '../support/telemetry.ts'
import { until } from '../support/until.ts'

type Reply = (response: ServerResponse) => void

/** How the next requests are answered; then with 200. */
let replies: Reply[] = []
/** Requests that are refused in place of that. */
let isRefused: (request: Recorded) => boolean
let server: FakeServer
let store: ObjectStore
let restore: () => void

before(async () => {
  restore = setAwsEnvironment({ AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'canary' })
  server = await startFakeServer((request, response) => {
    if (isRefused(request)) return fails(403, 'InvalidAccessKeyId')(response)
    const reply = replies.shift() ?? ((to) => answer(to, 200, { etag: '"1"' }, 'bytes'))
    reply(response)
  })
})
after(async () => {
  restore()
  await server.stop()
})
beforeEach(async () => {
  replies = []
  isRefused = () => false
  store = await createS3Store(
    { bucket: 'b', endpoint: server.url },
    { outbound: createOutbound(), telemetry: watchedTelemetry().telemetry },
  )
})
afterEach(() => store.close())

function fails(status: number, code: string, headers: Record<string, string> = {}): Reply {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`
  return (response) =>
    answer(response, status, { 'content-type': 'application/xml', ...headers }, body)
}

const cut: Reply = (response) => response.destroy()

for (const [what, reply] of [
  ['SlowDown', fails(503, 'SlowDown', { 'retry-after': '0' })],
  ['an internal error', fails(500, 'InternalError')],
  ['a connection that breaks', cut],
  ['keys that have expired', fails(400, 'ExpiredToken')],
  ['a clock that differs', fails(403, 'RequestTimeTooSkewed', { date: new Date().toUTCString() })],
  ['a conditional write at the same time', fails(409, 'ConditionalRequestConflict')],
] as const)
  test(`after ${what} a write is attempted again`, async () => {
    replies = [reply]
    const before = server.requests.length
    assert.deepEqual(await store.put('x', Buffer.from('y'), 'absent'), {
      kind: 'created',
      version: '"1"',
    })
    assert.equal(server.requests.length - before, 2)
  })

for (const [code, status, failure] of [
  ['AccessDenied', 403, 'denied'],
  ['NoSuchBucket', 404, 'gone'],
] as const)
  test(`${code} is an error at once, which says what to change`, async () => {
    replies = [fails(status, code)]
    await assert.rejects(store.read('x'), (error) => {
      assert.ok(error instanceof ObjectStoreError)
      assert.equal(error.failure, failure)
      assert.match(error.message, new RegExp(`^cannot read x in s3://b: ${status} ${code}: no; .+`))
      return true
    })
  })

test('an object is absent only if its bucket is there, and may be empty or archived', async () => {
  replies = [fails(404, 'NoSuchKey')]
  assert.equal(await store.head('x'), undefined)
  const empty: Reply = (response) => answer(response, 200, { etag: '"0"', 'content-length': '0' })
  replies = [fails(416, 'InvalidRange'), empty]
  const { size, version } = (await store.head('x')) ?? assert.fail()
  assert.deepEqual([size, version], [0, '"0"'])
  replies = [fails(403, 'InvalidObjectState')]
  assert.equal((await store.head('x'))?.version, '"1"')
  replies = [fails(404, 'NoSuchBucket')]
  await assert.rejects(store.head('x'), /cannot find x in s3:\/\/b: 404 NoSuchBucket/)
})

test('a write that was cut after it took effect is found to exist', async () => {
  replies = [cut, fails(412, 'PreconditionFailed')]
  assert.deepEqual(await store.put('x', Buffer.from('y'), 'absent'), { kind: 'exists' })
})

test('keys that are refused are read again, because others may have taken their place', async (t) => {
  isRefused = ({ headers }) => !headers.authorization?.includes('Credential=replaced/')
  await assert.rejects(store.read('x'), /403 InvalidAccessKeyId: no; replace the keys/)
  const { AWS_ACCESS_KEY_ID: before } = process.env
  process.env['AWS_ACCESS_KEY_ID'] = 'replaced'
  t.after(() => {
    process.env['AWS_ACCESS_KEY_ID'] = before
  })
  await until('others are used', () => store.read('x'))
})

test('while keys cannot be read again, those in use go on to be used', async (t) => {
  const { AWS_ACCESS_KEY_ID: before } = process.env
  t.after(() => {
    process.env['AWS_ACCESS_KEY_ID'] = before
  })
  await store.read('x')
  replies = [fails(403, 'AccessDenied'), fails(403, 'AccessDenied')]
  delete process.env['AWS_ACCESS_KEY_ID']
  const asked = server.requests.length
  await assert.rejects(store.put('x', Buffer.from('y')), /403 AccessDenied/)
  await until('the bucket was probed', () => {
    assert.ok(server.requests.length > asked + 1 || store.problem('write') !== undefined)
  })
  await store.read('x')
})

test('many connections that expire at once are no reason to stop asking', async () => {
  replies = Array.from({ length: 8 }, () => cut)
  await Promise.all(Array.from({ length: 8 }, () => store.put('x', Buffer.from('y'))))
  assert.equal(store.problem(), undefined)
})

const page = (content: string): Reply => {
  const body = `<?xml version="1.0"?><ListBucketResult><Name>b</Name>${content}</ListBucketResult>`
  return (response) => answer(response, 200, { 'content-type': 'application/xml' }, body)
}
const keyPage = (key: string, more: string) =>
  page(`<Contents><Key>${key}</Key></Contents><IsTruncated>true</IsTruncated>${more}`)
const token = '<NextContinuationToken>t</NextContinuationToken>'

for (const [what, pages] of [
  ['has a page that is no listing', [keyPage('a', token), answerEmpty]],
  ['has no token for what follows', [keyPage('a', '')]],
  ['has the same token again', [keyPage('a', token), keyPage('b', token)]],
  ['has a token that is refused', [keyPage('a', token), fails(400, 'InvalidArgument')]],
] as const satisfies readonly (readonly [string, readonly Reply[]])[])
  test(`a listing that ${what} fails, and does not end as if that were all`, async (t) => {
    replies = [...pages]
    await assert.rejects(all(store.list('p/')), (error) => {
      assert.ok(error instanceof ObjectStoreError)
      t.diagnostic(error.message)
      return /^cannot list p\/ in s3:\/\/b: /.test(error.message)
    })
  })

function answerEmpty(response: ServerResponse): void {
  answer(response, 200, {}, '')
}
