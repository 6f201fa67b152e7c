import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { createLookInside } from '../../src/api/files/look-inside.ts'
import { createApiClient } from '../support/api-client.ts'
import { eventually } from '../support/berth.ts'
import {
  type Blob,
  blobOf,
  type Image,
  makeImage,
  makeIndex,
  manifestOf,
} from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'
import { type TarItem, tarFile } from '../support/tar-file.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const upstream = await useUpstream()
const berth = useBerth({
  config: {
    upstreams: [{ prefix: 'up', url: upstream.url }],
    hosted: [{ prefix: 'local' }],
    auth: { access: everything },
  },
})
const client = () => createApiClient(berth)
const push = (image: Image) => createPushClient(berth.url).push('local/app', image, 'v1')
const layerOf = (items: readonly TarItem[]): Blob => blobOf(gzipSync(tarFile(items)))

/** An image whose layers are gzip. */
function imageOf(layers: readonly Blob[], config: object = {}): Image {
  const { mediaType, bytes } = makeImage({ layers })
  const document = JSON.parse(bytes.toString())
  const blob = blobOf(Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config })))
  return manifestOf(
    mediaType,
    {
      ...document,
      config: { ...document.config, digest: blob.digest, size: blob.bytes.length },
      layers: document.layers.map((layer: object) => ({
        ...layer,
        mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      })),
    },
    { blobs: [blob, ...layers] },
  )
}

const lookingInside = 'others are looking into images at this moment; retry'
const evil = '<img src=x onerror=alert(1)>.html'
const base = layerOf([
  { name: 'etc/', type: '5', mode: 0o755 },
  { name: 'etc/motd', content: 'hello\n' },
  { name: 'etc/old', content: 'gone' },
  { name: evil, content: '<script>alert(1)</script>' },
])
const upper = layerOf([
  { name: 'etc/motd', content: 'hello again\n' },
  { name: 'etc/.wh.old' },
  { name: 'link', type: '2', linkName: 'etc/motd' },
])

test('a directory of an image is listed with what each layer did, in pages', async () => {
  const image = imageOf([base, upper])
  await push(image)
  const path = { name: 'local/app', digest: image.digest }
  const root = await client().ask('files', { path })
  assert.deepEqual(
    root.files.map((file) => [file.path, file.type]),
    [
      [evil, 'file'],
      ['etc', 'directory'],
      ['link', 'symlink'],
    ],
  )
  assert.equal(root.layers.length, 2)
  const etc = await client().ask('files', { path, query: { path: 'etc' } })
  const [motd, old] = etc.files
  assert.deepEqual([motd?.layer, motd?.size, motd?.isRemoved], [1, 12, false])
  assert.deepEqual(motd?.changes, [
    { layer: 0, change: 'added' },
    { layer: 1, change: 'changed' },
  ])
  assert.deepEqual([old?.path, old?.isRemoved], ['etc/old', true])
  const reached = await client().ask('files', { path, query: { path: 'link' } })
  assert.deepEqual(
    [reached.path, reached.file?.size, reached.files],
    ['etc/motd', 12, []],
    'of a file, the file that links lead to',
  )
  const first = await client().ask('files', { path, query: { n: 1 } })
  const rest = await client().ask('files', { path, query: { after: first.next ?? '' } })
  assert.deepEqual([...first.files, ...rest.files], root.files)
  for (const missing of ['nothing', '../..//x', 'etc/old/x'])
    assert.equal((await client().fail('files', { path, query: { path: missing } })).status, 404)
})

test('one layer is listed as it is, with whiteouts, and needs no other layer on the disk', async () => {
  const image = imageOf([base, upper])
  upstream.put('layers', 'v1', image)
  const push = createPushClient(berth.url)
  await push.send('GET', 'up/layers/manifests/v1')
  const asked = { path: { name: 'up/layers', digest: image.digest } }
  const problem = await client().fail('files', { ...asked, query: { layer: 1 } })
  assert.deepEqual(
    [problem.status, problem.detail],
    [404, 'layer 1 of the image is not on the disk; pull the image first'],
  )
  await (await push.send('GET', `up/layers/blobs/${upper.digest}`)).arrayBuffer()
  const etc = await client().ask('files', { ...asked, query: { layer: 1, path: 'etc' } })
  assert.deepEqual(
    etc.files.map(({ path, type, layer }) => [path, type, layer]),
    [
      ['etc/motd', 'file', 1],
      ['etc/old', 'whiteout', 1],
    ],
  )
  assert.deepEqual([etc.layers.length, etc.layers[0]?.layer, etc.totals.removed], [1, 1, 1])
  const query = { layer: 1, path: 'etc/motd' }
  assert.equal((await client().send('file', { ...asked, query })).body.toString(), 'hello again\n')
  for (const [path, layer, status] of [
    ['etc/old', 1, 400],
    ['etc/none', 1, 404],
    ['', 0, 404],
    ['', 2, 404],
    ['', 'x', 400],
  ] as const)
    assert.equal((await client().fail('file', { ...asked, query: { layer, path } })).status, status)
  assert.equal(upstream.count(base.digest), 0, 'no layer was downloaded')
})

test('a file is downloaded to be saved, never shown', async () => {
  const image = imageOf([base, upper])
  await push(image)
  const path = { name: 'local/app', digest: image.digest }
  const text = async (file: string) => {
    const reply = await client().send('file', { path, query: { path: file } })
    assert.equal(reply.status, 200)
    assert.equal(reply.headers['content-type'], 'application/octet-stream')
    assert.equal(reply.headers['content-length'], String(reply.body.length))
    assert.match(String(reply.headers['content-security-policy']), /sandbox/)
    assert.equal(reply.headers['x-content-type-options'], 'nosniff')
    return [reply.body.toString(), String(reply.headers['content-disposition'])]
  }
  assert.deepEqual(await text('etc/motd'), ['hello again\n', "attachment; filename*=UTF-8''motd"])
  assert.equal((await text('link'))[0], 'hello again\n')
  const [body, disposition] = await text(evil)
  assert.equal(body, '<script>alert(1)</script>')
  assert.match(disposition ?? '', /^attachment; filename\*=UTF-8''[\w%.-]+$/)
  assert.equal((await client().fail('file', { path, query: { path: 'etc' } })).status, 400)
})

test('a third download at a time is asked to come back, until a client of another leaves', async () => {
  const big = imageOf([layerOf([{ name: 'big', content: randomBytes(16 * 1024 * 1024) }])])
  await push(big)
  const path = { name: 'local/app', digest: big.digest }
  await client().ask('files', { path })
  const address = `${berth.url}/api/repositories/local/app/-/file/${big.digest}?path=big`
  // Their bodies are not read.
  const leave = new AbortController()
  const started = await Promise.all([fetch(address, leave), fetch(address)])
  assert.deepEqual(
    started.map(({ status }) => status),
    [200, 200],
  )
  const problem = await client().fail('file', { path, query: { path: 'big' } })
  assert.deepEqual([problem.status, problem.detail], [429, lookingInside])
  leave.abort()
  await eventually('its place is free', async () => {
    const { status, body } = await fetch(address)
    await body?.cancel()
    return status === 200
  })
  await started[1]?.body?.cancel()
})

test('two images are compared: files, and the fields of their configs', async () => {
  const [before, after] = [
    imageOf([base], { Env: ['A=1'] }),
    imageOf([base, upper], { Env: ['A=2'] }),
  ]
  await push(before)
  await push(after)
  const found = await client().ask('compare', {
    path: { name: 'local/app', digest: before.digest },
    query: { to: after.digest },
  })
  assert.deepEqual(
    found.files.map(({ path, change }) => [path, change]),
    [
      ['etc/motd', 'changed'],
      ['etc/old', 'removed'],
      ['link', 'added'],
    ],
  )
  assert.deepEqual(found.config, [{ field: 'config.Env.A', before: '"1"', after: '"2"' }])
  const compare = (query: Readonly<Record<string, string | number>>) =>
    client().ask('compare', {
      path: { name: 'local/app', digest: before.digest },
      query: { to: after.digest, ...query },
    })
  const paths = async (query: Readonly<Record<string, string | number>>) =>
    (await compare(query)).files.map(({ path }) => path)
  assert.deepEqual(await paths({ filter: 'OLD' }), ['etc/old'])
  assert.deepEqual(await paths({ change: 'added' }), ['link'])
  assert.deepEqual(await paths({ change: 'added', filter: 'etc' }), [])
  assert.deepEqual(await paths({ change: 'added', after: 'etc/motd', n: 1 }), ['link'])
})

test('images of two repositories are compared by clients that may pull from both', async () => {
  const [before, after] = [imageOf([base]), imageOf([base, upper])]
  await push(before)
  await createPushClient(berth.url).push('local/other', after, 'v1')
  const asked = {
    path: { name: 'local/app', digest: before.digest },
    query: { to: after.digest, toName: 'local/other' },
  }
  const { files, toName } = await client().ask('compare', asked)
  assert.equal(files.length, 3)
  assert.equal(toName, 'local/other')
  const elsewhere = { ...asked, query: { ...asked.query, toName: 'local/third' } }
  assert.equal((await client().fail('compare', elsewhere)).status, 404)
  await berth.start({
    directory: berth.directory,
    config: {
      upstreams: [],
      hosted: [{ prefix: 'local' }],
      auth: {
        access: [{ users: ['*'], repositories: ['local/app'], actions: ['pull'] }],
      },
    },
  })
  assert.equal((await client().fail('compare', asked)).status, 403)
})

test('a client that does not wait is told how much of the layers was read, then the result', async () => {
  const [before, after] = [imageOf([base]), imageOf([base, upper])]
  for (const image of [before, after]) await push(image)
  const compare = (wait: number) =>
    client().ask('compare', {
      path: { name: 'local/app', digest: before.digest },
      query: { to: after.digest, wait },
    })
  const first = await compare(0)
  assert.deepEqual(first.files, [])
  const size = base.bytes.length + upper.bytes.length
  assert.ok(first.reading !== undefined && first.reading.read <= size)
  assert.equal(first.reading.size, size)
  assert.equal((await compare(60)).files.length, 3)
})

test('a comparison that failed while nobody waited says why to the next client', async () => {
  const [before, after] = [imageOf([base]), imageOf([blobOf(Buffer.from('no tar file'))])]
  for (const image of [before, after]) await push(image)
  const asked = (wait: number) => ({
    path: { name: 'local/app', digest: before.digest },
    query: { to: after.digest, wait },
  })
  await client().ask('compare', asked(0))
  assert.equal((await client().fail('compare', asked(60))).status, 422)
})

test('an index, a layer that is no tar file, a bomb and a missing layer are errors that say so', async () => {
  const index = makeIndex([imageOf([base])])
  const noTar = imageOf([blobOf(Buffer.from('no tar file'))])
  const bomb = imageOf([layerOf([{ name: 'zeros', content: Buffer.alloc(200 * 1024 * 1024) }])])
  for (const image of [index, noTar, bomb]) await push(image)
  const fail = (image: Image, name = 'local/app') =>
    client().fail('files', { path: { name, digest: image.digest } })
  assert.equal((await fail(index)).status, 400)
  assert.equal((await fail(noTar)).status, 422)
  assert.equal((await fail(bomb)).status, 413)
  upstream.put('app', 'v1', imageOf([base]))
  await createPushClient(berth.url).send('GET', 'up/app/manifests/v1')
  const notPulled = await fail(imageOf([base]), 'up/app')
  assert.equal(notPulled.status, 404)
  assert.match(notPulled.detail, /pull the image first/)
  assert.equal(upstream.count(base.digest), 0, 'no layer was downloaded')
})

test('two look inside at a time, each with reserved memory; others are asked to come back', async () => {
  const reserved = new Set<object>()
  const { run, iterate } = createLookInside({
    max: Number.POSITIVE_INFINITY,
    used: () => reserved.size,
    reserve: () => {
      const one = {}
      reserved.add(one)
      return () => void reserved.delete(one)
    },
  })
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const running = [run(() => first.promise), run(() => second.promise)]
  assert.equal(reserved.size, 2)
  await assert.rejects(
    run(async () => {}),
    { code: 'TOOMANYREQUESTS' },
  )
  const chunks = iterate(async function* () {
    yield Buffer.from('a')
    yield Buffer.from('b')
  })
  first.resolve()
  await running[0]
  assert.equal((await chunks.next()).value?.toString(), 'a')
  await assert.rejects(
    run(async () => {}),
    { code: 'TOOMANYREQUESTS' },
  )
  // The client goes away.
  await chunks.return(undefined)
  await run(async () => {})
  second.resolve()
  await running[1]
  assert.equal(reserved.size, 0)
})
