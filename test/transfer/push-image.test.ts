import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type ImageSource, openImageArchive } from '../../src/archive/archive.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import type { Remote } from '../../src/remote/remote.ts'
import {
  openRegistryImage,
  type Progress,
  pushImage,
  type Retry,
} from '../../src/transfer/transfer.ts'
import {
  dockerImage,
  dockerItems,
  hexOf,
  layerOf,
  ociItems,
  readImage,
} from '../support/archives.ts'
import { eventually, removeBerth, startBerth } from '../support/berth.ts'
import { useForwardClock } from '../support/clock.ts'
import { ownDirectory } from '../support/directory.ts'
import { startFaultyRegistry } from '../support/faulty-uploads.ts'
import { memoryImage } from '../support/memory-image.ts'
import { openRemote } from '../support/remotes.ts'
import { type TarItem, tarFile } from '../support/tar-file.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const name = parseRepositoryName('local/app')
const [one, two] = [parseTag('one'), parseTag('two')]
const { signal } = new AbortController()

async function berthFor(t: TestContext): Promise<Remote> {
  const berth = await startBerth({ config: { upstreams: [], auth: { access: everything } } })
  t.after(() => removeBerth(berth))
  return open(t, berth.url)
}

function open(t: TestContext, url: string): Remote {
  const remote = openRemote({ url, push: true })
  t.after(() => remote.close())
  return remote
}

async function sourceOf(t: TestContext, items: readonly TarItem[]) {
  const path = join(await ownDirectory(t), 'app.tar')
  await writeFile(path, tarFile(items))
  const source = await openImageArchive(path)
  t.after(() => source.close())
  return { source, image: firstOf(source) }
}

function firstOf({ images }: ImageSource): Digest {
  const [first] = images
  assert.ok(first)
  return first.digest
}

test('a pushed image can be read from the registry, with all its bytes', async (t) => {
  const remote = await berthFor(t)
  const { source, image } = await sourceOf(t, dockerItems([dockerImage('app:1')]))
  const pushed = await pushImage({ source, image, remote, name, tags: [one, two], signal })
  assert.equal(pushed.digest, image)
  assert.equal(pushed.present, 0)
  for (const tag of [one, two]) {
    const found = await openRegistryImage({ remote, name, reference: { tag } })
    assert.equal(firstOf(found), image)
    assert.deepEqual(await readImage(found, image), await readImage(source, image))
  }
})

test('an image that was pushed before sends no blob (S150)', async (t) => {
  const remote = await berthFor(t)
  const { source, image } = await sourceOf(t, ociItems(dockerImage('app:1')))
  const first = await pushImage({ source, image, remote, name, tags: [one], signal })
  const states: string[] = []
  const onProgress = ({ state }: Progress) => void states.push(state)
  const again = await pushImage({ source, image, remote, name, tags: [two], onProgress, signal })
  assert.equal(again.sent, 0)
  assert.equal(again.present, first.sent)
  assert.deepEqual(new Set(states), new Set(['waiting', 'present']))
})

test('a layer with other bytes than its digest says is not stored, nor is the image (S146)', async (t) => {
  const remote = await berthFor(t)
  const image = dockerImage('app:1', [layerOf('a', 5_000_000)])
  const [layer = Buffer.alloc(0)] = image.layers
  const items = ociItems(image).map((item) => {
    if (!item.name.endsWith(hexOf(layer))) return item
    return { ...item, content: Buffer.concat([layer.subarray(0, -1), Buffer.from([1])]) }
  })
  const { source, image: digest } = await sourceOf(t, items)
  const push = pushImage({ source, image: digest, remote, name, tags: [one], signal })
  await assert.rejects(push, { fault: 'invalid', message: /has the digest/ })
  assert.equal(await remote.writer.hasBlob(name, digestOf(layer), signal), false)
  assert.equal(await remote.resolve(name, one), undefined)
})

test('only the changed layer is sent, and a blob of another repository is mounted', async (t) => {
  const remote = await berthFor(t)
  const shared = layerOf('shared')
  const before = await sourceOf(t, ociItems(dockerImage('app:1', [shared, layerOf('a')])))
  const changed = layerOf('b')
  const image = dockerImage('app:2', [shared, changed])
  const after = await sourceOf(t, ociItems(image))
  await pushImage({ ...before, remote, name, tags: [one], signal })
  const pushed = await pushImage({ ...after, remote, name, tags: [two], signal })
  assert.equal(pushed.sent, changed.length + image.config.length)
  const other = parseRepositoryName('local/other')
  const states: string[] = []
  const onProgress = ({ state }: Progress) => void states.push(state)
  await pushImage({
    ...{ ...after, remote, name: other, tags: [one], mountFrom: name, onProgress, signal },
  })
  assert.deepEqual(new Set(states), new Set(['waiting', 'mounted']))
})

test('blobs of other repositories are mounted if the login may pull from them, and sent if not', async (t) => {
  const access = [
    { users: ['*'], repositories: ['local/private'], actions: ['push', 'delete'] },
    { users: ['*'], repositories: ['local/public', 'local/app'], actions: ['pull', 'push'] },
  ]
  const berth = await startBerth({ config: { upstreams: [], auth: { access } } })
  t.after(() => removeBerth(berth))
  const pushFrom = async (repository: 'private' | 'public', size: number) => {
    const image = memoryImage([size])
    const { writer } = open(t, berth.url)
    for (const [digest, bytes] of image.blobs) {
      const read = async function* () {
        yield [Buffer.from(bytes)]
      }
      const blob = { digest, size: bytes.length, open: () => ({ chunks: read(), close: () => {} }) }
      await writer.uploadBlob(parseRepositoryName(`local/${repository}`), blob, signal)
    }
    // Of another process, which has not seen the first push.
    const remote = open(t, berth.url)
    const ends: string[] = []
    const onProgress = ({ state }: Progress) =>
      void (['sent', 'mounted'].includes(state) && ends.push(state))
    await pushImage({ ...image, remote, name, tags: [one], onProgress, signal })
    return ends
  }
  assert.deepEqual(await pushFrom('private', 5000), ['sent', 'sent'])
  assert.deepEqual(await pushFrom('public', 6000), ['mounted', 'mounted'])
})

test('a blob whose connection breaks is sent again, and the image is right', async (t) => {
  const registry = await startFaultyRegistry()
  t.after(() => registry.close())
  const { source, image } = await sourceOf(t, ociItems(dockerImage('app:1', [layerOf('a')])))
  registry.fail({ kind: 'reset', after: 1000 })
  const { bytes, mediaType } = await source.manifest(image)
  const headers = { 'content-type': mediaType, 'docker-content-digest': image }
  const answer = (response: ServerResponse) => response.writeHead(200, headers).end(bytes)
  registry.on(/^(GET|HEAD) .*manifests/, answer, 10)
  const remote = open(t, registry.url)
  await pushImage({ source, image, remote, name, tags: [one], parallel: 1, signal })
  const { config, layers } = await readImage(source, image)
  for (const { digest, bytes } of [config, ...layers])
    assert.deepEqual(registry.blobs.get(digest), bytes)
})

test('a registry that accepts a manifest, but does not return it, is not believed (S153)', async (t) => {
  const registry = await startFaultyRegistry()
  t.after(() => registry.close())
  const { source, image } = await sourceOf(t, ociItems(dockerImage('app:1')))
  const missing = JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN' }] })
  registry.on(
    /^(GET|HEAD) .*manifests/,
    (response) => response.writeHead(404, { 'content-type': 'application/json' }).end(missing),
    100,
  )
  const remote = open(t, registry.url)
  const push = pushImage({ source, image, remote, name, tags: [one], patience: 1000, signal })
  await assert.rejects(push, { code: 'UNAVAILABLE', message: /cannot verify local\/app@sha256:/ })
})

test('the proof is asked for on connections that nothing else uses (S153)', async (t) => {
  const registry = await startFaultyRegistry()
  t.after(() => registry.close())
  const { source, image } = await sourceOf(t, ociItems(dockerImage('app:1')))
  const remote = open(t, registry.url)
  await pushImage({ source, image, remote, name, tags: [], signal })
  const { requests } = registry
  const proof = requests.filter(({ method, path }) => /^GET .*manifests/.test(`${method} ${path}`))
  assert.equal(proof.length, 1)
  const used = requests.filter(({ connection }) => connection === proof[0]?.connection)
  assert.deepEqual(used, proof)
})

test('a blob that is refused ends the other uploads at once, and the error says which, where and why', async (t) => {
  const registry = await startFaultyRegistry()
  t.after(() => registry.close())
  const { source: memory, image, blobs } = memoryImage([20_000_000, 5000])
  const [[config, bytes] = []] = blobs
  if (config !== undefined && bytes !== undefined) registry.blobs.set(config, bytes)
  const gate = Promise.withResolvers<void>()
  t.after(() => gate.resolve())
  const body = '{"errors":[{"code":"DENIED","message":"the quota is used up"}]}'
  registry.fail({ kind: 'wait', gate: gate.promise }, { kind: 'answer', status: 403, body })
  /** The small layer waits until the large one is on its way, and stays there. */
  async function* read(...[blob, options]: Parameters<ImageSource['read']>) {
    if (blob.size === 5000)
      await eventually('the large layer is being sent', () => registry.count(/^PATCH/) > 0)
    yield* memory.read(blob, options)
  }
  const source = { ...memory, read }
  const remote = open(t, registry.url)
  const push = pushImage({ source, image, remote, name, tags: [one], signal })
  await assert.rejects(push, {
    code: 'DENIED',
    message:
      /^cannot upload sha256:\w+ \(5000 bytes\) to http:.*\/local\/app: .*the quota is used up/,
  })
  assert.equal(registry.manifests.size, 0)
  assert.equal(registry.count(/^DELETE .*uploads/), 2)
})

test('a push that makes no progress fails, and says how often it was tried', async (t) => {
  const registry = await startFaultyRegistry()
  t.after(() => registry.close())
  const { source, image } = memoryImage([100])
  registry.on(/^POST/, (response) => response.writeHead(503, { 'content-length': 0 }).end())
  const retries: Retry[] = []
  const remote = open(t, registry.url)
  const push = pushImage({
    ...{ source, image, remote, name, tags: [one], patience: 2000, signal },
    onRetry: (retry) => void retries.push(retry),
  })
  await assert.rejects(push, {
    code: 'UNAVAILABLE',
    message:
      /^cannot upload sha256:.* in a row, without progress: .*answered 503 to POST \S+; push again when/,
  })
  assert.ok(retries.length > 0)
  for (const { attempt, pause } of retries) {
    assert.match(attempt, /^upload sha256/)
    assert.ok(pause > 0)
  }
})

for (const [what, status, message] of [
  [
    'no registry wrote is repeated for 15 seconds, as a registry may follow',
    404,
    /failed 3 times.*login page$/,
  ],
  [
    'a server of TLS writes to plain HTTP is not repeated',
    400,
    /bytes\) to \S+: http.*it may speak TLS/,
  ],
] as const)
  test(`a push whose answer ${what}`, async (t) => {
    const registry = await startFaultyRegistry()
    t.after(() => registry.close())
    const clock = useForwardClock(t)
    const { source, image } = memoryImage([100])
    registry.on(/^POST/, (response) => {
      response.removeHeader('docker-distribution-api-version')
      response.writeHead(status, { 'content-length': 0 }).end()
    })
    const remote = open(t, registry.url)
    const onRetry = () => clock.advance(8000)
    const push = pushImage({ source, image, remote, name, tags: [one], onRetry, signal })
    await assert.rejects(push, { code: 'UNAVAILABLE', message })
  })

test('a Retry-After that ends later than the patience is not waited for', async (t) => {
  const registry = await startFaultyRegistry()
  t.after(() => registry.close())
  const { source, image } = memoryImage([100])
  registry.on(/^POST/, (response) =>
    response.writeHead(503, { 'content-length': 0, 'retry-after': '600' }).end(),
  )
  const remote = open(t, registry.url)
  const push = pushImage({ source, image, remote, name, tags: [one], signal })
  await assert.rejects(push, { code: 'UNAVAILABLE', retryAfter: 600 })
})

test('an aborted push ends, and leaves no manifest', async (t) => {
  const registry = await startFaultyRegistry()
  t.after(() => registry.close())
  const { source, image } = await sourceOf(t, ociItems(dockerImage('app:1')))
  const gate = Promise.withResolvers<void>()
  registry.fail({ kind: 'wait', gate: gate.promise })
  const controller = new AbortController()
  const remote = open(t, registry.url)
  const onProgress = ({ state }: Progress) => state === 'sending' && controller.abort()
  const push = pushImage({
    ...{ source, image, remote, name, tags: [one], onProgress, signal: controller.signal },
  })
  await assert.rejects(push)
  gate.resolve()
  assert.equal(registry.manifests.size, 0)
})

test('an image that is not there is an error that names it', async (t) => {
  const remote = await berthFor(t)
  const reference = { digest: digestOf(Buffer.from('none')) }
  await assert.rejects(openRegistryImage({ remote, name, reference }), {
    code: 'MANIFEST_UNKNOWN',
    message: new RegExp(`has no local/app@${reference.digest}`),
  })
})
