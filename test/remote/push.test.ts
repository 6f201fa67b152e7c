import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { isRegistryError, type RegistryError } from '../../src/oci/errors.ts'
import { parseRepositoryName, type Tag } from '../../src/oci/reference.ts'
import type { BlobToUpload, Remote } from '../../src/remote/remote.ts'
import { type ArtifactRegistry, startArtifactRegistry } from '../support/artifact-registry.ts'
import { createCanaries } from '../support/canaries.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { answer, answerJson, startFakeServer } from '../support/fake-server.ts'
import { type FaultyRegistry, startFaultyRegistry } from '../support/faulty-uploads.ts'
import { createTokens } from '../support/google.ts'
import { type Blob, blobOf, makeImage, manifestOf, randomBlob } from '../support/images.ts'
import { changingSource, openRemote, tellingTelemetry } from '../support/remotes.ts'
import { until } from '../support/until.ts'

const name = parseRepositoryName('project/repository/app')
const other = parseRepositoryName('project/repository/base')
const tag = 'v1' as Tag
const { signal } = new AbortController()
const canaries = createCanaries()
const { telemetry, lines } = tellingTelemetry()
/** Messages of the errors that were met. */
const told: string[] = []

let docker: DockerRegistry
let faulty: FaultyRegistry
const remotes: Remote[] = []

before(async () => {
  docker = await startDockerRegistry()
})
beforeEach(async () => {
  faulty = await startFaultyRegistry()
})
afterEach(() => faulty.close())
after(async () => {
  await Promise.all(remotes.map((remote) => remote.close()))
  await docker.close()
  await canaries.assertUnseen({ texts: [...lines, ...told, await telemetry.metrics.text()] })
})

function open(options: Parameters<typeof openRemote>[0]): Remote {
  const remote = openRemote({ telemetry, ...options })
  remotes.push(remote)
  return remote
}

function openDocker(): Remote {
  const { user: username, password } = docker.login
  canaries.add(password)
  return open({ url: docker.url, source: changingSource({ kind: 'password', username, password }) })
}

/** In pieces of a size that fits no buffer. */
function toUpload({ digest, bytes }: Blob, openings = { count: 0 }): BlobToUpload {
  return {
    digest,
    size: bytes.length,
    open: () => {
      openings.count += 1
      async function* chunks() {
        for (let at = 0; at < bytes.length; at += 100_001)
          yield [Buffer.from(bytes.subarray(at, at + 100_001))]
      }
      return { chunks: chunks(), close: () => {} }
    },
  }
}

function refused(code: RegistryError['code'], status: number, message = /./) {
  return (error: unknown): boolean => {
    assert.ok(isRegistryError(error, code), String(error))
    told.push(error.message)
    assert.equal(error.status, status, error.message)
    assert.match(error.message, message)
    return true
  }
}

test('docker-registry takes blobs of any size, a manifest and a tag, and has them afterwards', async () => {
  const { writer, ...reader } = openDocker()
  const image = makeImage({ layers: [blobOf(Buffer.alloc(0)), randomBlob(3_000_001)] })
  for (const blob of image.blobs) {
    assert.equal(await writer.hasBlob(name, blob.digest), false)
    await writer.uploadBlob(name, toUpload(blob), signal)
    assert.equal(await writer.hasBlob(name, blob.digest), true)
    assert.equal((await reader.statBlob(name, blob.digest))?.size, blob.bytes.length)
  }
  assert.deepEqual(await writer.putManifest(name, { tag }, image), { isListed: false, tags: [] })
  assert.deepEqual((await reader.manifest(name, { tag }))?.bytes, image.bytes)
})

test('docker-registry mounts a blob of another repository, and not one that is nowhere', async () => {
  const { writer } = openDocker()
  const blob = randomBlob(1000)
  await writer.uploadBlob(other, toUpload(blob), signal)
  assert.equal(await writer.mountBlob(name, { digest: blob.digest, from: other }), true)
  assert.equal(await writer.hasBlob(name, blob.digest), true)
  const { digest } = randomBlob(1000)
  assert.equal(await writer.mountBlob(name, { digest, from: other }), false)
})

test('what docker-registry says against a manifest is passed on', async () => {
  const { writer } = openDocker()
  await assert.rejects(
    writer.putManifest(name, { tag }, makeImage()),
    refused('MANIFEST_BLOB_UNKNOWN', 400, /cannot push project\/repository\/app:v1: http:\/\/127/),
  )
})

test('a wrong password is a refusal that names identity and repository', async () => {
  const password = canaries.password('mallory')
  const source = changingSource({ kind: 'password', username: 'mallory', password })
  const { writer } = open({ url: docker.url, source })
  await assert.rejects(
    writer.uploadBlob(name, toUpload(randomBlob(10)), signal),
    refused('DENIED', 403, /^cannot push to project\/repository\/app as the tester: .*401/),
  )
})

test('a registry that cannot delete says so', async () => {
  const { writer } = open({ url: faulty.url })
  const { digest } = makeImage()
  faulty.on(/^DELETE/, (response) => {
    response.writeHead(405, { 'content-type': 'application/json' })
    response.end('{"errors":[{"code":"UNSUPPORTED","message":"deletes are disabled"}]}')
  })
  await assert.rejects(writer.deleteManifest(name, { digest }), refused('UNSUPPORTED', 405))
})

for (const accessTokens of ['direct', 'endpoint'] as const)
  test(`Artifact Registry takes an image, its access token sent to the ${accessTokens === 'direct' ? 'registry' : 'token endpoint'}`, async (context) => {
    const { registry, writer } = await openArtifacts(context)
    registry.behave({ accessTokens })
    const image = makeImage()
    for (const blob of image.blobs) await writer.uploadBlob(name, toUpload(blob), signal)
    const signature = manifestOf(image.mediaType, {
      config: { mediaType: 'application/x', digest: image.blobs[0]?.digest, size: 1 },
      layers: [],
      subject: { mediaType: image.mediaType, digest: image.digest, size: image.bytes.length },
    })
    await writer.putManifest(name, { tag }, image)
    const { digest } = signature
    assert.deepEqual(await writer.putManifest(name, { digest }, signature), {
      isListed: true,
      tags: [],
    })
    assert.deepEqual(registry.manifest(name, tag)?.bytes, image.bytes)
    assert.equal(registry.manifest(name, tag)?.mediaType, image.mediaType)
    for (const { digest, bytes } of image.blobs)
      assert.deepEqual(registry.blob(name, digest), bytes)
    assert.equal(registry.count(/^PATCH/), 0)
    assert.equal(registry.openUploads(), 0)
    assert.equal(registry.count(/^PUT \/artifacts-uploads\/.*upload_id=a%3Db~c&digest=sha256/), 3)
    assert.equal(await writer.deleteManifest(name, { tag }), true)
    assert.equal(await writer.deleteManifest(name, { tag }), false)
  })

test('a token for pushing is requested for a push only, and each is kept for its own', async (context) => {
  const { registry, writer, reader } = await openArtifacts(context)
  registry.behave({ accessTokens: 'endpoint' })
  const blob = randomBlob(100)
  await writer.uploadBlob(name, toUpload(blob), signal)
  await reader.statBlob(name, blob.digest)
  await writer.uploadBlob(name, toUpload(randomBlob(100)), signal)
  await reader.statBlob(name, blob.digest)
  assert.deepEqual(
    registry.requests.flatMap(
      ({ path }) => new URL(path, 'http://any').searchParams.get('scope') ?? [],
    ),
    [`repository:${name}:pull,push`, `repository:${name}:pull`],
  )
})

test('a repository that only a token for pushing shows to be absent is absent, if it may be pushed to', async (context) => {
  const hub = await startFakeServer(({ path, headers }, response) => {
    const { pathname, searchParams } = new URL(path, 'http://any')
    response.setHeader('docker-distribution-api-version', 'registry/2.0')
    if (pathname === '/token')
      return answerJson(response, 200, { token: searchParams.get('scope')?.split(':').at(-1) })
    if (headers.authorization === 'Bearer pull,push') return answer(response, 404)
    response.setHeader('www-authenticate', `Bearer realm="${hub.url}/token"`)
    answerJson(response, 401, { errors: [{ code: 'UNAUTHORIZED' }] })
  })
  context.after(hub.stop)
  const { digest } = randomBlob(10)
  const pushed = open({ url: hub.url, push: true })
  assert.equal(await pushed.statBlob(name, digest), undefined)
  assert.equal(await pushed.manifest(name, { tag }), undefined)
  const readOnly = open({ url: hub.url })
  await assert.rejects(readOnly.statBlob(name, digest), refused('DENIED', 403))
  await assert.rejects(readOnly.manifest(name, { tag }), refused('DENIED', 403))
})

test('a mount that is answered by 202 is cancelled, and is an upload for the caller', async (context) => {
  const { registry, writer } = await openArtifacts(context)
  const { digest } = randomBlob(100)
  assert.equal(await writer.mountBlob(name, { digest, from: other }), false)
  assert.equal(registry.count(/^DELETE \/artifacts-uploads\//), 1)
  assert.equal(registry.openUploads(), 0)
})

test('a reader who may not write is refused with what Artifact Registry says', async (context) => {
  const { registry, writer } = await openArtifacts(context)
  registry.behave({ writers: () => false })
  await assert.rejects(
    writer.uploadBlob(name, toUpload(randomBlob(100)), signal),
    refused('DENIED', 403, /uploadArtifacts/),
  )
})

test('an upload that breaks begins again, after a look whether the blob arrived', async () => {
  const { writer } = open({ url: faulty.url })
  const blob = randomBlob(2_000_000)
  const openings = { count: 0 }
  faulty.fail({ kind: 'reset', after: 1_000_000 }, { kind: 'answer', status: 503 })
  await writer.uploadBlob(name, toUpload(blob, openings), signal)
  assert.deepEqual(faulty.blobs.get(blob.digest), blob.bytes)
  assert.equal(openings.count, 3)
  assert.equal(faulty.count(/^POST/), 3)
  assert.equal(faulty.count(/^HEAD .*\/blobs\//), 2)
})

test('a registry that cannot look for a blob says why, although the answer to HEAD has no body', async () => {
  const { writer } = open({ url: faulty.url })
  const errors = [{ code: 'UNAVAILABLE', message: 'its upstream is down' }]
  faulty.on(/^(HEAD|GET) .*\/blobs\//, (response) => answerJson(response, 503, { errors }), 4)
  await assert.rejects(
    writer.hasBlob(name, randomBlob(10).digest),
    refused('UNAVAILABLE', 503, /answered 503 to GET \/v2\/.*: its upstream is down$/),
  )
})

test('a registry that does not support HEAD is asked for a blob with GET', async () => {
  const { writer } = open({ url: faulty.url })
  const blob = randomBlob(1000)
  faulty.blobs.set(blob.digest, blob.bytes)
  for (const status of [405, 501]) {
    faulty.on(/^HEAD/, (response) => response.writeHead(status).end(), 1)
    assert.equal(await writer.hasBlob(name, blob.digest), true, String(status))
  }
  assert.equal(faulty.count(/^HEAD/), 2)
})

test('an upload that fails three times has failed', async () => {
  const { writer } = open({ url: faulty.url })
  const broken = { kind: 'answer', status: 500 } as const
  faulty.fail(broken, broken, broken, broken)
  await assert.rejects(
    writer.uploadBlob(name, toUpload(randomBlob(1000)), signal),
    refused('UNAVAILABLE', 503, /answered 500/),
  )
  assert.equal(faulty.count(/^POST/), 3)
})

test('a blob whose acknowledgement was lost is not sent again', async () => {
  const { writer } = open({ url: faulty.url })
  const blob = randomBlob(1000)
  const openings = { count: 0 }
  faulty.fail({ kind: 'lost answer' })
  await writer.uploadBlob(name, toUpload(blob, openings), signal)
  assert.equal(openings.count, 1)
})

test('a manifest whose acknowledgement was lost is not put again', async () => {
  const { writer } = open({ url: faulty.url })
  const image = makeImage()
  faulty.on(
    /^PUT .*manifests/,
    (response) => {
      faulty.manifests.set(tag, image.bytes)
      response.socket?.destroy()
    },
    1,
  )
  await writer.putManifest(name, { tag }, image)
  assert.equal(faulty.count(/^PUT/), 1)
  assert.equal(faulty.count(/^HEAD/), 1)
})

test('an answer in the middle of a long body is read, and the body is not sent to its end', async () => {
  const { writer } = open({ url: faulty.url })
  const body = '{"errors":[{"code":"DENIED","message":"the quota is used up"}]}'
  faulty.fail({ kind: 'early', status: 403, body })
  await assert.rejects(writer.uploadBlob(name, toUpload(randomBlob(30_000_000)), signal), (error) =>
    refused('DENIED', 403, /the quota is used up/)(error),
  )
})

test('a session that its registry forgot is replaced by a new one', async () => {
  const { writer } = open({ url: faulty.url })
  const body = '{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"gone"}]}'
  faulty.fail({ kind: 'answer', status: 404, body })
  await writer.uploadBlob(name, toUpload(randomBlob(1000)), signal)
  assert.equal(faulty.count(/^POST/), 2)
})

test('429 is waited out if it is over soon, and becomes 503 with Retry-After if not', async () => {
  const { writer } = open({ url: faulty.url })
  const tooMany = (seconds: number) => (response: ServerResponse) =>
    void response.writeHead(429, { 'retry-after': String(seconds), 'content-length': 0 }).end()
  faulty.on(/^POST/, tooMany(1), 1)
  await writer.uploadBlob(name, toUpload(randomBlob(1000)), signal)
  faulty.on(/^PUT .*manifests/, tooMany(50))
  await assert.rejects(writer.putManifest(name, { tag }, makeImage()), (error) => {
    refused('UNAVAILABLE', 503, /429/)(error)
    return isRegistryError(error) && (error.retryAfter ?? 0) > 20
  })
})

test('a Location or a redirect of an upload to another origin gets no request', async (context) => {
  const stranger = await startFaultyRegistry()
  context.after(stranger.close)
  const token = canaries.secret('token')
  const source = changingSource({ kind: 'access-token', username: 'u', token })
  const { writer } = open({ url: faulty.url, source, redirects: [stranger.url] })
  faulty.on(
    /^POST/,
    (response) =>
      void response.writeHead(202, { location: `${stranger.url}/v2/u`, 'content-length': 0 }).end(),
    1,
  )
  await assert.rejects(
    writer.uploadBlob(name, toUpload(randomBlob(10)), signal),
    refused('UNAVAILABLE', 502, /not its own origin; if a proxy is in front/),
  )
  faulty.on(
    /^PUT/,
    (response) =>
      void response.writeHead(307, { location: `${stranger.url}/v2/m`, 'content-length': 0 }).end(),
  )
  await assert.rejects(
    writer.putManifest(name, { tag }, makeImage()),
    refused('UNAVAILABLE', 502, /redirects a write to/),
  )
  assert.equal(stranger.requests.length, 0)
})

test('a redirect of a write on the same origin is followed with the whole body', async () => {
  const { writer } = open({ url: faulty.url })
  const image = makeImage()
  faulty.on(
    /^PUT .*\/manifests\/v1$/,
    (response) =>
      void response
        .writeHead(307, { location: '/v2/elsewhere/manifests/v2', 'content-length': 0 })
        .end(),
  )
  await writer.putManifest(name, { tag }, image)
  assert.deepEqual(faulty.manifests.get('v2'), image.bytes)
})

test('an upload that its caller ends leaves no session behind', async () => {
  const { writer } = open({ url: faulty.url })
  const controller = new AbortController()
  const gate = Promise.withResolvers<void>()
  faulty.fail({ kind: 'wait', gate: gate.promise })
  const blob = randomBlob(20_000_000)
  const uploading = writer.uploadBlob(name, toUpload(blob), controller.signal)
  const reason = new Error('no longer wanted')
  await until('the upload has begun', () => assert.ok(faulty.count(/^(PATCH|PUT)/) > 0))
  controller.abort(reason)
  await assert.rejects(uploading, reason)
  gate.resolve()
  assert.equal(faulty.count(/^DELETE .*uploads\/session-1/), 1)
})

test('an upload may take longer than any answer may, while its registry reads', async () => {
  const timeouts = { connect: 2000, firstByte: 300, idle: 5000, minimumRate: 1024 }
  const { writer } = open({ url: faulty.url, timeouts })
  const blob = randomBlob(1_000_000)
  const slow: BlobToUpload = {
    digest: blob.digest,
    size: blob.bytes.length,
    open: () => {
      async function* chunks() {
        for (let at = 0; at < blob.bytes.length; at += 100_000) {
          yield [blob.bytes.subarray(at, at + 100_000)]
          await new Promise((resolve) => setTimeout(resolve, 60))
        }
      }
      return { chunks: chunks(), close: () => {} }
    },
  }
  await writer.uploadBlob(name, slow, signal)
  assert.deepEqual(faulty.blobs.get(blob.digest), blob.bytes)
})

test('a registry that stops reading an upload is slow, and is tried once more', async () => {
  const timeouts = { connect: 2000, firstByte: 2000, idle: 200, minimumRate: 1024 }
  const { writer } = open({ url: faulty.url, timeouts })
  const gate = Promise.withResolvers<void>()
  const stuck = { kind: 'wait', gate: gate.promise } as const
  faulty.fail(stuck, stuck)
  await assert.rejects(
    writer.uploadBlob(name, toUpload(randomBlob(30_000_000)), signal),
    refused('UNAVAILABLE', 504),
  )
  gate.resolve()
  assert.equal(faulty.count(/^POST/), 2)
})

test('a registry that is down is not waited for', async () => {
  await faulty.close()
  const { writer } = open({ url: faulty.url })
  await assert.rejects(
    writer.uploadBlob(name, toUpload(randomBlob(10)), signal),
    refused('UNAVAILABLE', 503, /connection refused/),
  )
})

test('a page that no registry wrote is not a refusal', async () => {
  const { writer } = open({ url: faulty.url })
  faulty.on(/^POST/, (response) => {
    response.removeHeader('docker-distribution-api-version')
    response.writeHead(404, { 'content-type': 'text/html' }).end('<html>')
  })
  await assert.rejects(
    writer.uploadBlob(name, toUpload(randomBlob(10)), signal),
    refused('UNAVAILABLE', 502, /not as a registry does/),
  )
})

async function openArtifacts(context: { after: (end: () => Promise<void>) => void }) {
  const accessTokens = createTokens('ya29.', { seconds: 3600 })
  const registry: ArtifactRegistry = await startArtifactRegistry({ accessTokens })
  context.after(registry.stop)
  const { token } = accessTokens.issue('robot')
  canaries.add(token)
  const credential = { kind: 'access-token', username: 'oauth2accesstoken', token } as const
  const { writer, ...reader } = open({ url: registry.url, source: changingSource(credential) })
  return { registry, writer, reader }
}
