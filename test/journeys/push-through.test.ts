import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { request } from 'undici'
import { hashPassword } from '../../src/auth/auth.ts'
import { type ArtifactRegistry, startArtifactRegistry } from '../support/artifact-registry.ts'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
  visibleBlobs,
} from '../support/berth.ts'
import { basicOf, createCanaries } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { type FaultyRegistry, startFaultyRegistry } from '../support/faulty-uploads.ts'
import { type Google, startGoogle } from '../support/google.ts'
import { type Image, makeImage, makeIndex, manifestOf, randomBlob } from '../support/images.ts'
import { createPusher, type Pushed, type Pusher } from '../support/push-requests.ts'

const name = 'my-project/my-repository/team/app'
const canaries = createCanaries()
const login = { user: 'ci', password: canaries.password('ci') }
const reader = { user: 'reader', password: canaries.password('reader') }
/** Responses of the tests, to be searched for secrets. */
const answers: Pushed[] = []

let directory: string
let google: Google
let artifacts: ArtifactRegistry
let docker: DockerRegistry
let faulty: FaultyRegistry
let berth: Berth
let pusher: Pusher

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-push-'))
  docker = await startDockerRegistry()
  canaries.add(docker.login.password)
  const users = [login, reader].map(
    async ({ user, password }) => `${user}:${await hashPassword(password, 4)}`,
  )
  await writeFile(join(directory, 'htpasswd'), (await Promise.all(users)).join('\n'))
})
after(async () => {
  await docker.close()
  await rm(directory, { recursive: true, force: true })
})
beforeEach(async () => {
  google = await startGoogle({ grant: 'direct' })
  artifacts = await startArtifactRegistry({ accessTokens: google.accessTokens })
  faulty = await startFaultyRegistry()
  berth = await start()
  pusher = createPusher(berth.url, login)
})
afterEach(async () => {
  const logs = JSON.stringify(berth.logs())
  await checkInvariants(berth)
  for (const token of google.accessTokens.all()) canaries.add(token)
  await canaries.assertUnseen({
    texts: [
      logs,
      ...answers.splice(0).map(({ text, headers }) => text + JSON.stringify([...headers])),
    ],
  })
  await removeBerth(berth)
  await Promise.all([artifacts.stop(), google.stop(), faulty.close()])
})

async function start(): Promise<Berth> {
  const file = await google.configure(directory)
  const { user: username, password } = docker.login
  return startBerth({
    config: {
      auth: {
        htpasswd: join(directory, 'htpasswd'),
        access: [
          { users: ['ci'], repositories: ['**'], actions: ['pull', 'push', 'delete'] },
          { users: ['*'], repositories: ['**'], actions: ['pull'] },
        ],
      },
      upstreams: [
        { url: artifacts.url, credentials: { type: 'google', file }, push: true },
        {
          prefix: 'docker',
          url: docker.url,
          credentials: { type: 'static', username, password },
          push: true,
        },
        { prefix: 'faulty', url: faulty.url, push: true },
        { prefix: 'fixed', url: faulty.url },
      ],
    },
  })
}

const authorization = `Basic ${basicOf(login.user, login.password)}`

function read(path: string, method = 'GET') {
  return get(`${berth.url}/v2/${path}`, { method, headers: { authorization } })
}

async function assertPulls(repository: string, reference: string, image: Image): Promise<void> {
  const manifest = await read(`${repository}/manifests/${reference}`)
  assert.equal(manifest.status, 200, manifest.body.toString())
  assert.deepEqual(manifest.body, image.bytes)
  assert.equal(manifest.headers['x-cache'], 'hit')
  for (const { digest, bytes } of image.blobs) {
    const blob = await read(`${repository}/blobs/${digest}`)
    assert.equal(blob.status, 200, blob.body.toString())
    assert.deepEqual(blob.body, bytes)
    assert.equal(blob.headers['x-cache'], 'hit')
  }
}

function kept(pushed: Pushed): Pushed {
  answers.push(pushed)
  return pushed
}

for (const manner of ['put', 'patch', 'post'] as const)
  test(`an image pushed by ${manner.toUpperCase()} is at Artifact Registry, and its next pull is a hit (H114)`, async () => {
    const image = makeImage({ layers: [randomBlob(3_000_000), randomBlob(1000), randomBlob(0)] })
    await pusher.image(name, 'v1', image, manner)
    assert.deepEqual(artifacts.manifest(name, 'v1')?.bytes, image.bytes)
    for (const { digest, bytes } of image.blobs)
      assert.deepEqual(artifacts.blob(name, digest), bytes)
    const asked = artifacts.requests.length
    await assertPulls(name, 'v1', image)
    assert.equal(artifacts.requests.length, asked, 'the pull did not ask the upstream')
    assert.equal(artifacts.count(/^PATCH/), 0)
    assert.equal(artifacts.openUploads(), 0)
  })

test('a push asks Google for a token that can write', async () => {
  await pusher.image(name, 'v1', makeImage())
  const scopes = google.requests.flatMap(({ body }) => new URLSearchParams(body).get('scope') ?? [])
  assert.deepEqual([...new Set(scopes)], ['https://www.googleapis.com/auth/cloud-platform'])
})

test('docker-registry gets an index and its images, and the tag moves at once', async () => {
  const repository = 'docker/team/app'
  const first = makeImage()
  const second = makeIndex([makeImage(), makeImage({ architecture: 'arm64' })])
  await pusher.image(repository, 'latest', first)
  await assertPulls(repository, 'latest', first)
  await pusher.image(repository, 'latest', second)
  await assertPulls(repository, 'latest', second)
  for (const child of second.children) await assertPulls(repository, child.digest, child)
  const tags = await read(`${repository}/tags/list`)
  assert.deepEqual(JSON.parse(tags.body.toString()).tags, ['latest'])
})

test('a new tag is in the list that was cached before', async () => {
  const repository = 'docker/team/tags'
  await pusher.image(repository, 'v1', makeImage())
  await read(`${repository}/tags/list`)
  await pusher.image(repository, 'v2', makeImage())
  const tags = await read(`${repository}/tags/list`)
  assert.deepEqual(JSON.parse(tags.body.toString()).tags, ['v1', 'v2'])
})

test('a blob that was absent a moment ago is there after the push', async () => {
  const blob = randomBlob(1000)
  assert.equal((await read(`${name}/blobs/${blob.digest}`, 'HEAD')).status, 404)
  assert.equal((await read(`${name}/blobs/${blob.digest}`)).status, 404)
  assert.equal((await pusher.blob(name, blob)).status, 201)
  assert.equal((await read(`${name}/blobs/${blob.digest}`, 'HEAD')).status, 200)
  assert.equal((await read(`${name}/blobs/${blob.digest}`)).status, 200)
})

test('a blob that the upstream has is not sent twice', async () => {
  const blob = randomBlob(2_000_000)
  assert.equal((await pusher.blob(name, blob)).status, 201)
  assert.equal((await pusher.blob(name, blob, 'patch')).status, 201)
  assert.equal((await pusher.blob(name, blob, 'put')).status, 201)
  assert.equal(artifacts.count(/^PUT \/artifacts-uploads/), 1)
})

test('a long blob is on its way to the upstream while it arrives, its end is not', async () => {
  const blob = randomBlob(4_000_000)
  const location = await pusher.session('faulty/app')
  const gate = Promise.withResolvers<void>()
  const body = Readable.from(
    (async function* () {
      yield blob.bytes.subarray(0, 3_000_000)
      await gate.promise
      yield blob.bytes.subarray(3_000_000)
    })(),
  )
  const pushing = pushOfLength(`${location}?digest=${blob.digest}`, body, blob.bytes.length)
  await eventually('the upstream has what arrived', () => faulty.received() === 3_000_000)
  gate.resolve()
  assert.equal(await pushing, 201)
  assert.deepEqual(faulty.blobs.get(blob.digest), blob.bytes)
  assert.equal(faulty.count(/^POST/), 1)
})

test('wrong bytes are refused, never complete at the upstream, and cached nowhere (H118)', async () => {
  const { digest } = randomBlob(10)
  for (const manner of ['put', 'patch', 'post'] as const) {
    const reply = kept(
      await pusher.blob('faulty/app', { digest, bytes: Buffer.alloc(3_000_000, manner) }, manner),
    )
    assert.equal(reply.status, 400)
    assert.match(reply.text, /DIGEST_INVALID/)
  }
  assert.equal(faulty.blobs.size, 0)
  assert.deepEqual(await visibleBlobs(berth.cache), [])
  await eventually('the sessions are cancelled', () => faulty.count(/^DELETE/) >= 1)
})

test('what the upstream refuses is refused with its reason and the role to grant, and not cached', async () => {
  artifacts.behave({ writers: () => false })
  const blob = randomBlob(2_000_000)
  for (const manner of ['put', 'patch'] as const) {
    const reply = kept(await pusher.blob(name, blob, manner))
    assert.equal(reply.status, 403)
    assert.match(reply.text, /"DENIED"/)
    assert.match(reply.text, /cannot push to my-project\/my-repository\/team\/app as/)
    assert.match(reply.text, /uploadArtifacts/)
    assert.match(reply.text, /roles\/artifactregistry\.writer/)
  }
  assert.deepEqual(await visibleBlobs(berth.cache), [])
  artifacts.behave({ writers: undefined })
  const image = makeImage()
  const missing = kept(await pusher.manifest(name, 'v1', image))
  assert.equal(missing.status, 404)
  assert.match(missing.text, /MANIFEST_BLOB_UNKNOWN/)
  assert.equal((await read(`${name}/manifests/v1`)).status, 404)
  assert.equal((await read(`${name}/manifests/${image.digest}`)).status, 404)
})

test('a long upload that the upstream refuses ends before it has arrived', async () => {
  artifacts.behave({ writers: () => false })
  const { digest } = randomBlob(10)
  const location = await pusher.session(name)
  let sent = 0
  const body = Readable.from(
    (async function* () {
      for (; sent < 2000; sent += 1) {
        yield Buffer.alloc(100_000)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    })(),
  )
  const path = `${location}?digest=${digest}`
  const status = await pushOfLength(path, body, 200_000_000).catch(() => 'closed')
  assert.ok(status === 403 || status === 'closed', String(status))
  assert.ok(sent < 2000, 'it was not sent to its end')
  assert.equal((await pusher.send('GET', location)).status, 404)
})

test('an upstream that breaks in the middle gets the blob again, from its start', async () => {
  const blob = randomBlob(3_000_000)
  faulty.fail({ kind: 'reset', after: 1_000_000 }, { kind: 'answer', status: 502 })
  assert.equal((await pusher.blob('faulty/app', blob)).status, 201)
  assert.deepEqual(faulty.blobs.get(blob.digest), blob.bytes)
})

test('an upstream that fails is said to fail, and the same request may be repeated', async () => {
  const blob = randomBlob(10_000)
  const broken = { kind: 'answer', status: 500 } as const
  const location = await pusher.session('faulty/app')
  const put = () =>
    pusher.send('PUT', `${location}?digest=${blob.digest}`, {
      body: blob.bytes,
      headers: { 'content-type': 'application/octet-stream' },
    })
  faulty.fail(broken, broken, broken)
  const reply = kept(await put())
  assert.equal(reply.status, 503)
  assert.match(reply.text, /answered 500/)
  assert.equal((await put()).status, 201)
})

test('while the upstream is down, a push is 503 at once, and works afterwards', async () => {
  await artifacts.stop()
  const blob = randomBlob(1000)
  const location = await pusher.session(name)
  const put = await pusher.send('PUT', `${location}?digest=${blob.digest}`, { body: blob.bytes })
  assert.equal(kept(put).status, 503)
  assert.match(put.text, /connection refused/)
  assert.equal((await pusher.send('DELETE', location)).status, 204)
  await artifacts.start()
  await eventually('it is back', async () => (await pusher.blob(name, blob)).status === 201)
})

test('429 is waited out', async () => {
  artifacts.behave({ quota: { requests: 2, milliseconds: 1000, retryAfter: true } })
  assert.equal((await pusher.blob(name, randomBlob(1000))).status, 201)
  assert.ok(artifacts.throttled() > 0)
})

test('a condition is decided by what the upstream says now, and by nothing that was cached', async () => {
  const repository = 'faulty/conditions'
  const [first, second] = [makeImage(), makeImage()]
  assert.equal((await pusher.manifest(repository, 'v1', first)).status, 201)
  faulty.on(/^(GET|HEAD) .*\/manifests\/v1/, (response) => response.writeHead(500).end())
  const put = kept(
    await pusher.send('PUT', `/v2/${repository}/manifests/v1`, {
      body: second.bytes,
      headers: { 'content-type': second.mediaType, 'if-match': `"${first.digest}"` },
    }),
  )
  assert.equal(put.status, 503, put.text)
  assert.deepEqual(faulty.manifests.get('v1'), first.bytes)
})

test('a mount passes through to docker-registry, and is an upload where it cannot be one', async () => {
  const blob = randomBlob(1000)
  await pusher.blob('docker/team/base', blob)
  const mount = async (from: string, to = 'docker/team/app'): Promise<number> => {
    const path = `/v2/${to}/blobs/uploads/?mount=${blob.digest}&from=${from}`
    const { status, headers } = await pusher.send('POST', path)
    if (status === 202) await pusher.send('DELETE', headers.get('location') ?? '')
    return status
  }
  assert.equal(await mount('docker/team/base'), 201)
  assert.equal((await read(`docker/team/app/blobs/${blob.digest}`)).headers['x-cache'], 'hit')
  assert.equal(await mount('docker/team/elsewhere'), 202)
  assert.equal(await mount('faulty/team/base'), 202)
  assert.equal(await mount('docker/team/base', name), 202)
  await pusher.blob(name, blob)
  assert.equal(await mount(name, `${name}2`), 202)
  assert.equal(artifacts.openUploads(), 0)
})

test('deletions pass through, and what was deleted is not served from the cache', async () => {
  const image = makeImage()
  await pusher.image(name, 'v1', image)
  await pusher.image(name, 'v2', image)
  const remove = (reference: string) => pusher.send('DELETE', `/v2/${name}/manifests/${reference}`)
  assert.equal((await remove('v1')).status, 202)
  assert.equal((await read(`${name}/manifests/v1`)).status, 404)
  await assertPulls(name, 'v2', image)
  assert.equal((await remove(image.digest)).status, 202)
  assert.equal((await read(`${name}/manifests/v2`)).status, 404)
  assert.equal((await read(`${name}/manifests/${image.digest}`)).status, 404)
  assert.equal((await remove('v1')).status, 404)
})

test('a signature is among the referrers at once, also where the upstream has no such list', async () => {
  const image = makeImage()
  await pusher.image(name, 'v1', image)
  await read(`${name}/referrers/${image.digest}`)
  const [config] = image.blobs
  const subject = { mediaType: image.mediaType, digest: image.digest, size: image.bytes.length }
  const signature = manifestOf(image.mediaType, {
    artifactType: 'application/vnd.example.signature',
    config: { mediaType: 'application/json', digest: config?.digest, size: config?.bytes.length },
    layers: [],
    subject,
  })
  const pushed = await pusher.manifest(name, signature.digest, signature)
  assert.equal(pushed.status, 201, pushed.text)
  assert.equal(pushed.headers.get('oci-subject'), image.digest)
  assert.deepEqual(await referrersOf(name, image), [signature.digest])
  const atDocker = 'docker/team/app'
  await pusher.image(atDocker, 'v1', image)
  assert.deepEqual(await referrersOf(atDocker, image), [])
  const others = Array.from({ length: 4 }, (_, at) =>
    manifestOf(image.mediaType, {
      ...JSON.parse(signature.bytes.toString()),
      annotations: { at: `${at}` },
    }),
  )
  const signatures = [signature, ...others]
  await Promise.all(
    signatures.map(async (each) => {
      const reply = await pusher.manifest(atDocker, each.digest, each)
      assert.equal(reply.status, 201, reply.text)
      assert.equal(reply.headers.get('oci-subject'), image.digest)
    }),
  )
  const again = await pusher.manifest(atDocker, signature.digest, signature)
  assert.equal(again.status, 201, again.text)
  const digests = signatures.map(({ digest }) => digest)
  assert.deepEqual((await referrersOf(atDocker, image)).toSorted(), digests.toSorted())
  const tag = image.digest.replace(':', '-')
  const index = JSON.parse((await read(`${atDocker}/manifests/${tag}`)).body.toString())
  assert.equal(index.manifests.length, 5)
  assert.equal(index.manifests[0].artifactType, 'application/vnd.example.signature')

  const deleted = await pusher.send('DELETE', `/v2/${atDocker}/manifests/${signature.digest}`)
  assert.equal(deleted.status, 202, deleted.text)
  const left = others.map(({ digest }) => digest)
  assert.deepEqual((await referrersOf(atDocker, image)).toSorted(), left.toSorted())
})

test('a signature is pushed although the upstream refuses to list it, and the answer does not say that it is listed', async () => {
  const repository = 'faulty/immutable'
  const image = makeImage()
  const [first, second] = ['one', 'two'].map((which) => signatureOf(image, which))
  const tag = image.digest.replace(':', '-')
  const refused = '{"errors":[{"code":"DENIED","message":"tags never change"}]}'
  faulty.on(new RegExp(`^PUT .*/manifests/${tag}`), (response) =>
    response.writeHead(409, { 'content-type': 'application/json' }).end(refused),
  )
  for (const signature of [first, second] as [Image, Image]) {
    assert.equal((await read(`${repository}/referrers/${image.digest}`)).status, 200)
    const pushed = kept(await pusher.manifest(repository, signature.digest, signature))
    assert.equal(pushed.status, 201, pushed.text)
    assert.equal(pushed.headers.get('oci-subject'), null)
    assert.deepEqual(faulty.manifests.get(signature.digest), signature.bytes)
  }
  const warnings = berth.logs().filter(({ msg }) => msg === 'a pushed referrer is not listed')
  assert.equal(warnings.length, 2)
})

test('where the referrers tag is the subject itself, as at GitLab, no list is put there', async () => {
  const repository = 'faulty/gitlab'
  const image = makeImage()
  const tag = image.digest.replace(':', '-')
  faulty.manifests.set(tag, image.bytes)
  const signature = signatureOf(image, 'one')
  const pushed = kept(await pusher.manifest(repository, signature.digest, signature))
  assert.equal(pushed.status, 201, pushed.text)
  assert.deepEqual(faulty.manifests.get(tag), image.bytes)
})

function signatureOf({ mediaType, digest, bytes }: Image, which: string): Image {
  return makeImage({
    extra: {
      subject: { mediaType, digest, size: bytes.length },
      artifactType: `application/x.${which}`,
    },
  })
}

async function referrersOf(repository: string, image: Image): Promise<readonly string[]> {
  const { body } = await read(`${repository}/referrers/${image.digest}`)
  const { manifests } = JSON.parse(body.toString())
  return manifests.map(({ digest }: { digest: string }) => digest)
}

test('several tags of one push are all put to the upstream', async () => {
  const image = makeImage()
  for (const blob of image.blobs) await pusher.blob(name, blob)
  const pushed = await pusher.manifest(name, `${image.digest}?tag=a&tag=b`, image)
  assert.equal(pushed.headers.get('oci-tag'), 'a, b')
  for (const tag of ['a', 'b']) {
    assert.deepEqual(artifacts.manifest(name, tag)?.bytes, image.bytes)
    await assertPulls(name, tag, image)
  }
})

test('nothing is pushed without a rule, nor to an upstream without push: true', async () => {
  const other = createPusher(berth.url, reader)
  const asReader = await other.send('POST', `/v2/${name}/blobs/uploads/`)
  assert.equal(asReader.status, 403)
  const fixed = await pusher.send('POST', '/v2/fixed/app/blobs/uploads/')
  assert.equal(fixed.status, 405)
  assert.match(fixed.text, /push: true/)
  assert.equal(faulty.requests.length + artifacts.requests.length, 0)
})

test('a session belongs to its repository and user, and ends with a restart', async () => {
  const location = await pusher.session(name)
  const elsewhere = location.replace('team/app', 'team/other')
  assert.equal((await pusher.send('GET', location)).status, 204)
  assert.equal((await pusher.send('GET', elsewhere)).status, 404)
  berth = await berth.restart()
  pusher = createPusher(berth.url, login)
  assert.equal((await pusher.send('GET', location)).status, 404)
})

/** fetch sends a stream without its length. */
async function pushOfLength(path: string, body: Readable, length: number): Promise<number> {
  const answer = await request(new URL(path, berth.url), {
    method: 'PUT',
    headers: { authorization, 'content-length': String(length) },
    body,
  })
  await answer.body.text()
  return answer.statusCode
}
