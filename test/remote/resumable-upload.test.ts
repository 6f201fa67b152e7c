import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, test } from 'node:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { isTemporary, type Remote, type ResumableBlob } from '../../src/remote/remote.ts'
import { startArtifactRegistry } from '../support/artifact-registry.ts'
import { type FaultyRegistry, startFaultyRegistry } from '../support/faulty-uploads.ts'
import { createTokens } from '../support/google.ts'
import { type Blob, randomBlob } from '../support/images.ts'
import { changingSource, openRemote } from '../support/remotes.ts'
import { until } from '../support/until.ts'

const name = parseRepositoryName('project/repository/app')
const { signal } = new AbortController()
const MiB = 1024 * 1024

let faulty: FaultyRegistry
let remote: Remote

beforeEach(async () => {
  faulty = await startFaultyRegistry()
  remote = openRemote({ url: faulty.url })
})
afterEach(async () => {
  await remote.close()
  await faulty.close()
})

/** In pieces of a size that fits no part. */
function toUpload({ digest, bytes }: Blob, starts: number[] = []): ResumableBlob {
  return {
    digest,
    size: bytes.length,
    open: (start) => {
      starts.push(start)
      async function* chunks() {
        for (let at = start; at < bytes.length; at += 100_001)
          yield [Buffer.from(bytes.subarray(at, Math.min(at + 100_001, bytes.length)))]
      }
      return { chunks: chunks(), close: () => {} }
    },
  }
}

/** Runs it until it ends otherwise than by a temporary error. Returns how often it ran. */
async function uploadTo({ writer }: Remote, blob: ResumableBlob): Promise<number> {
  const upload = writer.resumableUpload(name, blob)
  try {
    for (let runs = 1; ; runs += 1) {
      assert.ok(runs < 10, 'it ends')
      try {
        await upload.run(signal)
        return runs
      } catch (error) {
        if (!isTemporary(error)) throw error
      }
    }
  } finally {
    await upload.close()
  }
}

function says(status: number, headers: Readonly<Record<string, string>> = {}, body = '') {
  return (response: ServerResponse): void => {
    response.writeHead(status, { 'content-length': body.length, ...headers }).end(body)
  }
}

const ranges = () =>
  faulty.requests.flatMap(({ method, range }) => (method === 'PATCH' ? [range] : []))

function assertStored({ digest, bytes }: Blob): void {
  assert.ok(faulty.blobs.get(digest)?.equals(bytes), 'the registry has all bytes, in their order')
}

test('an upload that breaks continues with the byte that the registry does not have', async () => {
  const blob = randomBlob(20 * MiB)
  const starts: number[] = []
  faulty.fail({ kind: 'reset', after: 5 * MiB }, { kind: 'reset', after: 7 * MiB })
  assert.equal(await uploadTo(remote, toUpload(blob, starts)), 3)
  assertStored(blob)
  assert.equal(faulty.count(/^POST/), 1)
  const [, second = '', third = ''] = ranges()
  assert.deepEqual(
    [`${starts[1]}-${20 * MiB - 1}`, `${starts[2]}-${20 * MiB - 1}`],
    [second, third],
  )
  assert.ok((starts[1] ?? 0) >= 5 * MiB && (starts[2] ?? 0) >= 12 * MiB, `${starts}`)
  assert.ok(faulty.received() < 21 * MiB, `${faulty.received()} bytes travelled`)
})

test('a large blob goes in parts, from a source that is read once', async () => {
  const blob = randomBlob(130 * MiB)
  const starts: number[] = []
  assert.equal(await uploadTo(remote, toUpload(blob, starts)), 1)
  assertStored(blob)
  const [first, second] = [64 * MiB, 128 * MiB]
  const last = `${second}-${130 * MiB - 1}`
  assert.deepEqual(ranges(), [`0-${first - 1}`, `${first}-${second - 1}`, last])
  assert.deepEqual(starts, [0])
})

test('parts are not smaller than the registry wants them', async () => {
  const blob = randomBlob(70 * MiB)
  const location = '/v2/project/repository/app/blobs/uploads/own'
  const minimum = { location, 'oci-chunk-min-length': String(69 * MiB) }
  faulty.on(/^POST/, says(202, minimum), 1)
  await uploadTo(remote, toUpload(blob))
  assertStored(blob)
  assert.deepEqual(ranges(), [`0-${69 * MiB - 1}`, `${69 * MiB}-${70 * MiB - 1}`])
})

test('a small blob is one PUT', async () => {
  const blob = randomBlob(MiB)
  await uploadTo(remote, toUpload(blob))
  assertStored(blob)
  assert.deepEqual(
    faulty.requests.map(({ method }) => method),
    ['POST', 'PUT'],
  )
})

test('a registry that refuses a mount without a source gets the bytes, and is not asked again', async () => {
  const blobs = [randomBlob(MiB), randomBlob(5 * MiB)]
  const refusal = '{"errors":[{"code":"UNSUPPORTED","message":"from is missing"}]}'
  faulty.on(/^POST .*mount=/, says(400, {}, refusal))
  for (const blob of blobs) {
    await uploadTo(remote, toUpload(blob))
    assertStored(blob)
  }
  assert.equal(faulty.count(/^POST .*mount=/), 1)
})

test('a registry that fails because of a mount without a source gets the bytes', async () => {
  const blob = randomBlob(MiB)
  faulty.on(/^POST .*mount=/, says(500))
  assert.equal(await uploadTo(remote, toUpload(blob)), 2)
  assertStored(blob)
})

test('a blob that went to one repository is mounted from there in another one', async () => {
  const blob = randomBlob(MiB)
  await uploadTo(remote, toUpload(blob))
  const other = parseRepositoryName('project/other')
  const upload = remote.writer.resumableUpload(other, toUpload(blob))
  faulty.on(/^POST .*\?mount=sha256:[0-9a-f]+&from=project\/repository\/app$/, says(201), 1)
  assert.equal(await upload.run(signal), 'mounted')
  assert.equal(faulty.count(/^PUT/), 1)
})

test('an empty blob is uploaded', async () => {
  const blob = randomBlob(0)
  await uploadTo(remote, toUpload(blob))
  assertStored(blob)
})

test('a PUT whose answer was lost is not sent again', async () => {
  const blob = randomBlob(5 * MiB)
  const upload = remote.writer.resumableUpload(name, toUpload(blob))
  faulty.on(
    /^PUT/,
    (response) => {
      faulty.blobs.set(blob.digest, blob.bytes)
      response.socket?.destroy()
    },
    1,
  )
  await assert.rejects(upload.run(signal), { code: 'UNAVAILABLE' })
  await upload.run(signal)
  await upload.close()
  assert.equal(faulty.count(/^PUT/), 1)
  assert.equal(faulty.count(/^HEAD/), 1)
})

const broken = { kind: 'reset', after: 3 * MiB } as const
const gone = '{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}'

for (const [what, answer, sessions] of [
  ['has forgotten the session', says(404, {}, gone), 2],
  ['claims more than was sent', says(204, { range: '0-99999999' }), 2],
  ['claims more than the blob has', says(204, { range: '0-999999999999' }), 2],
  ['does not say what it has', says(204), 2],
  ['says it in another way', says(204, { range: 'bytes 7' }), 2],
  ['refuses the question', says(405, {}, '{"errors":[{"code":"UNSUPPORTED"}]}'), 2],
  // The digest shows that the bytes are wrong.
  ['claims less than it has', says(204, { range: '0-1048575' }), 2],
] as const)
  test(`a registry that ${what} gets the blob in a new session`, async () => {
    const blob = randomBlob(10 * MiB)
    faulty.fail(broken)
    faulty.on(/^GET .*uploads/, answer, 1)
    await uploadTo(remote, toUpload(blob))
    assertStored(blob)
    assert.equal(faulty.count(/^POST/), sessions)
  })

test('a registry that goes back behind what it acknowledged gets the blob in a new session', async () => {
  const blob = randomBlob(70 * MiB)
  // The first part arrives, the second one breaks.
  faulty.fail({ kind: 'none' }, broken)
  faulty.on(/^GET .*uploads/, says(204, { range: `0-${MiB}` }), 1)
  assert.equal(await uploadTo(remote, toUpload(blob)), 2)
  assertStored(blob)
  assert.equal(faulty.count(/^POST/), 2)
  assert.equal(faulty.count(/^DELETE .*session-1/), 1)
})

test('a registry that does not say what it has may continue after the last part (Distribution 2.8)', async () => {
  const blob = randomBlob(70 * MiB)
  faulty.fail({ kind: 'none' }, { kind: 'lost' })
  faulty.on(/^GET .*uploads/, says(204, { range: '0-0' }), 1)
  assert.equal(await uploadTo(remote, toUpload(blob)), 2)
  assertStored(blob)
  assert.equal(faulty.count(/^POST/), 1)
})

test('a session that is refused after the last part is replaced', async () => {
  const blob = randomBlob(70 * MiB)
  faulty.fail({ kind: 'none' }, broken, { kind: 'answer', status: 416, body: gone })
  faulty.on(/^GET .*uploads/, says(204, { range: '0-0' }), 1)
  assert.equal(await uploadTo(remote, toUpload(blob)), 3)
  assertStored(blob)
  assert.equal(faulty.count(/^POST/), 2)
})

test('a part that was acknowledged at another place leads to one PUT', async () => {
  const blob = randomBlob(10 * MiB)
  const location = '/v2/project/repository/app/blobs/uploads/session-1'
  faulty.on(/^PATCH/, says(202, { location, range: '0-10485760' }), 1)
  assert.equal(await uploadTo(remote, toUpload(blob)), 1)
  assertStored(blob)
  assert.equal(faulty.count(/^POST/), 2)
})

for (const [where, line] of [
  ['a part', /^PATCH/],
  ['the question for its state', /^GET .*uploads/],
] as const)
  test(`a Location of another origin in the answer to ${where} gets no request`, async (t) => {
    const stranger = await startFaultyRegistry()
    t.after(stranger.close)
    const source = changingSource({ kind: 'registry-token', token: 'secret' })
    const own = openRemote({ url: faulty.url, source, redirects: [stranger.url] })
    t.after(() => own.close())
    if (where !== 'a part') faulty.fail(broken)
    const location = `${stranger.url}/v2/u`
    faulty.on(line, says(where === 'a part' ? 202 : 204, { location, range: '0-3145727' }))
    await assert.rejects(uploadTo(own, toUpload(randomBlob(10 * MiB))), {
      code: 'UNAVAILABLE',
      message: /not its own origin/,
    })
    assert.equal(stranger.requests.length, 0)
  })

test('a registry that takes no parts gets each blob by one PUT, and is asked once', async () => {
  const unsupported = '{"errors":[{"code":"UNSUPPORTED"}]}'
  faulty.on(/^PATCH/, says(405, {}, unsupported))
  for (const blob of [randomBlob(10 * MiB), randomBlob(11 * MiB)]) {
    assert.equal(await uploadTo(remote, toUpload(blob)), 1)
    assertStored(blob)
  }
  assert.equal(faulty.count(/^PATCH/), 1)
})

test('a registry that fails at each part gets the blob by one PUT', async () => {
  const blob = randomBlob(10 * MiB)
  faulty.on(/^PATCH/, says(501))
  await uploadTo(remote, toUpload(blob))
  assertStored(blob)
})

test('Artifact Registry, which refuses several parts, gets large blobs by one PUT', async (t) => {
  const accessTokens = createTokens('ya29.', { seconds: 3600 })
  const registry = await startArtifactRegistry({ accessTokens })
  t.after(registry.stop)
  const { token } = accessTokens.issue('robot')
  const source = changingSource({ kind: 'access-token', username: 'oauth2accesstoken', token })
  const artifacts = openRemote({ url: registry.url, source })
  t.after(() => artifacts.close())
  for (const blob of [randomBlob(70 * MiB), randomBlob(5 * MiB)]) {
    assert.equal(await uploadTo(artifacts, toUpload(blob)), 1)
    assert.equal(await artifacts.writer.hasBlob(name, blob.digest), true)
  }
  assert.equal(registry.openUploads(), 0)
})

test('429 with Retry-After is waited out', async () => {
  const blob = randomBlob(5 * MiB)
  faulty.on(/^PATCH/, says(429, { 'retry-after': '1' }), 1)
  assert.equal(await uploadTo(remote, toUpload(blob)), 1)
  assertStored(blob)
})

for (const size of [5 * MiB - 1, 5 * MiB + 1])
  test(`a source of ${size} bytes is not the blob of ${5 * MiB}, and its error is its own`, async () => {
    const blob = randomBlob(size)
    const upload = { ...toUpload(blob), size: 5 * MiB }
    await assert.rejects(uploadTo(remote, upload), { code: 'SIZE_INVALID' })
    assert.equal(faulty.count(/^PUT/), 0)
  })

test('an error of the source is thrown as it is, and the session is cancelled', async () => {
  const blob = toUpload(randomBlob(10 * MiB))
  const failure = new Error('the file has changed')
  const failing: ResumableBlob = {
    ...blob,
    open: (start) => {
      async function* chunks() {
        let left = 50
        for await (const chunk of blob.open(start).chunks) {
          left -= 1
          if (left === 0) throw failure
          yield chunk
        }
      }
      return { chunks: chunks(), close: () => {} }
    },
  }
  await assert.rejects(uploadTo(remote, failing), failure)
  assert.equal(faulty.count(/^DELETE .*session-1/), 1)
})

test('an upload that its caller ends leaves no session behind', async () => {
  const controller = new AbortController()
  const gate = Promise.withResolvers<void>()
  faulty.fail({ kind: 'wait', gate: gate.promise })
  const upload = remote.writer.resumableUpload(name, toUpload(randomBlob(20 * MiB)))
  const running = upload.run(controller.signal)
  const reason = new Error('no longer wanted')
  await until('it sends', () => assert.equal(faulty.count(/^PATCH/), 1))
  controller.abort(reason)
  await assert.rejects(running, reason)
  gate.resolve()
  await upload.close()
  assert.equal(faulty.count(/^DELETE .*session-1/), 1)
})
