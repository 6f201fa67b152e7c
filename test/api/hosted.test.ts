import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createApiClient } from '../support/api-client.ts'
import { eventually } from '../support/berth.ts'
import { blobOf, type Image, makeImage, makeIndex, manifestOf } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'
import { useBerth } from '../support/use-berth.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const berth = useBerth({ config: { upstreams: [], auth: { access: everything } } })

const client = () => createApiClient(berth)
const push = (name: string, image: Image, ...tags: readonly string[]) =>
  createPushClient(berth.url).push(name, image, ...tags)
const indexed = () =>
  eventually(
    'the index is complete',
    async () => (await berth.metric('berth_index_complete')) === 1,
  )

const layer = (size: number, byte: number) => blobOf(Buffer.alloc(size, byte))

/** An image whose config is this. */
function imageWith(config: object | string, fields: object = {}): Image {
  const blob = blobOf(Buffer.from(typeof config === 'string' ? config : JSON.stringify(config)))
  const { mediaType, bytes, blobs } = makeImage()
  const document = JSON.parse(bytes.toString())
  const descriptor = { ...document.config, digest: blob.digest, size: blob.bytes.length }
  return manifestOf(
    mediaType,
    { ...document, config: descriptor, ...fields },
    { blobs: [blob, ...blobs.slice(1)] },
  )
}

function referrerOf({ digest, mediaType, bytes }: Image, artifactType: string): Image {
  return makeImage({
    layers: [],
    extra: { subject: { mediaType, digest, size: bytes.length }, artifactType },
  })
}

test('before the first push there are no repositories, and nothing is wrong', async () => {
  const found = await client().ask('repositories')
  assert.deepEqual(found, { repositories: [], total: 0 })
  assert.equal((await client().fail('tags', { path: { name: 'local/none' } })).status, 404)
})

test('repositories are listed with what they have, searched and paged', async () => {
  const base = layer(100_000, 1)
  for (const [at, name] of ['team/app', 'team/web', 'other/app'].entries())
    await push(name, makeImage({ layers: [base, layer(10_000, 10 + at)] }), 'v1', 'v2')
  await indexed()
  const { repositories, total } = await client().ask('repositories')
  assert.equal(total, 3)
  assert.deepEqual(
    repositories.map(({ name, kind, tags, manifests }) => ({ name, kind, tags, manifests })),
    ['other/app', 'team/app', 'team/web'].map((name) => ({
      name,
      kind: 'hosted',
      tags: 2,
      manifests: 1,
    })),
  )
  for (const { size = 0, ownSize = 0, pushedAt } of repositories) {
    assert.ok(size > 110_000)
    assert.ok(ownSize > 10_000 && ownSize < 100_000, `${ownSize}`)
    assert.ok(pushedAt)
  }
  const names = async (query: Readonly<Record<string, string | number>>) => {
    const found = await client().ask('repositories', { query })
    return [...found.repositories.map(({ name }) => name), found.next]
  }
  assert.deepEqual(await names({ prefix: 'team' }), ['team/app', 'team/web', undefined])
  assert.deepEqual(await names({ search: 'APP' }), ['other/app', 'team/app', undefined])
  assert.deepEqual(await names({ n: 2 }), ['other/app', 'team/app', 'team/app'])
  assert.deepEqual(await names({ n: 2, last: 'team/app' }), ['team/web', undefined])
  const usage = await client().ask('usage', { query: { prefix: 'team' } })
  const [hosted, cached] = usage.kinds
  assert.deepEqual([hosted?.kind, hosted?.repositories, hosted?.partial], ['hosted', 2, false])
  assert.ok(hosted && hosted.unique - hosted.own >= 100_000, 'other/app shares the base')
  assert.deepEqual(hosted.parts.map((part) => part.name).toSorted(), ['team/app', 'team/web'])
  assert.deepEqual([cached?.kind, cached?.repositories], ['cached', 0])
  assert.equal(usage.trash, undefined)
  const all = await client().ask('usage')
  assert.deepEqual(all.kinds[0]?.parts.map((part) => [part.name, part.repositories]).toSorted(), [
    ['other/app', 1],
    ['team/', 2],
  ])
  assert.deepEqual([all.trash, all.waiting], [0, 0])
})

test('the usage of a repository says what the removal of each tag frees, biggest first', async () => {
  const shared = layer(100_000, 1)
  const small = makeImage({ layers: [shared, layer(10_000, 2)] })
  const big = makeImage({ layers: [shared, layer(50_000, 3)] })
  await push('team/app', small, 'v1', 'latest')
  await push('team/app', big, 'v2')
  await push('other/app', makeImage({ layers: [layer(50_000, 3)] }), 'v1')
  await indexed()
  const path = { name: 'team/app' }
  const usage = await client().ask('taggedUsage', { path })
  assert.deepEqual(
    usage.tagged.map(({ tags }) => [...tags].toSorted()),
    [['latest', 'v1'], ['v2']],
    'other/app has the layer of v2',
  )
  assert.ok(usage.tagged.every(({ own }) => own < 20_000))
  assert.ok(usage.own > 110_000, `${usage.own}`)
  assert.ok(usage.unique - usage.own >= 50_000)
  assert.deepEqual([usage.total, usage.next, usage.untagged], [2, undefined, undefined])
  const first = await client().ask('taggedUsage', { path, query: { n: 1 } })
  assert.deepEqual([first.tagged.length, first.next], [1, 1])
  const gone = await client().fail('taggedUsage', { path: { name: 'team/none' } })
  assert.equal(gone.status, 404)
})

test('tags are sorted over all pages, with digest, size and platforms', async () => {
  const children = [makeImage(), makeImage({ architecture: 'arm64' })]
  const multi = makeIndex(children)
  await push('team/app', multi, '1.10', 'latest')
  await push('team/app', makeImage({ layers: [layer(5_000_000, 3)] }), '1.9', '1.8')
  await indexed()
  const path = { name: 'team/app' }
  const first = await client().ask('tags', { path, query: { n: 2 } })
  assert.deepEqual(
    first.tags.map(({ tag }) => tag),
    ['1.8', '1.9'],
  )
  assert.equal(first.total, 4)
  assert.equal(first.next, 2)
  assert.deepEqual(first.may, { push: true, delete: true, cache: false })
  const second = await client().ask('tags', { path, query: { n: 2, offset: 2 } })
  const [ten] = second.tags
  assert.equal(second.next, undefined)
  assert.equal(ten?.tag, '1.10')
  assert.equal(ten?.kind, 'index')
  assert.deepEqual(ten?.platforms, ['linux/amd64', 'linux/arm64'])
  assert.equal(ten?.stored, 'all')
  assert.equal(ten?.digest, multi.digest)
  const bySize = await client().ask('tags', { path, query: { sort: 'size', order: 'desc', n: 1 } })
  assert.equal(bySize.tags[0]?.tag, '1.8')
  const filtered = await client().ask('tags', { path, query: { filter: 'LAT' } })
  assert.deepEqual([filtered.total, filtered.tags[0]?.tag], [1, 'latest'])
})

test('a manifest says what its config says; by digest the answer is valid for ever', async () => {
  const image = imageWith({
    os: 'linux',
    architecture: 'arm64',
    variant: 'v8',
    created: '2024-01-02T03:04:05Z',
    author: '<script>alert(1)</script>',
    config: {
      Env: ['A=1', 7],
      Entrypoint: ['/bin/app'],
      Cmd: null,
      Labels: { '<b>': '"\u0000', number: 1 },
      ExposedPorts: { '80/tcp': {} },
      User: 'nobody',
    },
    history: [
      { created_by: 'ADD file', created: '2024-01-02T03:04:05Z' },
      { created_by: 'ENV A=1', empty_layer: true },
      { created_by: 'RUN x' },
    ],
  })
  await push('team/app', image, 'v1')
  const path = { name: 'team/app', reference: image.digest }
  const { config, layers, kind, totalSize, ...rest } = await client().ask('manifest', { path })
  assert.equal(kind, 'image')
  assert.equal(rest.digest, image.digest)
  assert.equal(config?.platform, 'linux/arm64/v8')
  assert.deepEqual(config?.env, ['A=1'])
  assert.deepEqual(config?.entrypoint, ['/bin/app'])
  assert.deepEqual(config?.cmd, [])
  assert.deepEqual(config?.labels, { '<b>': '"\u0000' })
  assert.deepEqual(config?.exposedPorts, ['80/tcp'])
  assert.deepEqual(
    config?.history.map(({ layer }) => layer),
    [0, undefined, 1],
  )
  assert.equal(layers.length, image.blobs.length - 1)
  const bytes = [image, ...image.blobs].reduce((sum, each) => sum + each.bytes.length, 0)
  assert.equal(totalSize, bytes)

  const byDigest = await client().send('manifest', { path })
  assert.match(String(byDigest.headers['cache-control']), /private.*immutable/)
  assert.match(String(byDigest.headers['vary']), /authorization/)
  const byTag = await client().send('manifest', { path: { name: 'team/app', reference: 'v1' } })
  assert.equal(byTag.headers['cache-control'], 'private, no-cache')
  const again = await client().send('manifest', {
    path: { name: 'team/app', reference: 'v1' },
    headers: { 'if-none-match': String(byTag.headers.etag) },
  })
  assert.equal(again.status, 304)
})

test('looking at an image is no pull', async () => {
  const image = makeImage()
  await push('team/app', image, 'v1')
  await indexed()
  const path = { name: 'team/app' }
  const pulledAt = async () => (await client().ask('tags', { path })).tags[0]?.pulledAt
  const before = await pulledAt()
  await client().ask('manifest', { path: { ...path, reference: 'v1' } })
  await client().ask('details', { path: { ...path, digest: image.digest } })
  assert.equal(await pulledAt(), before)
  await createPushClient(berth.url).send('GET', 'team/app/manifests/v1')
  await eventually('the pull is recorded', async () => (await pulledAt()) !== before)
})

test('an index with a missing platform, and a config that is no JSON, are described as far as they go', async () => {
  const children = [makeImage(), makeImage({ architecture: 'arm64' })]
  const multi = makeIndex(children)
  const [first, second] = children
  assert.ok(first && second)
  await push('team/app', first)
  const response = await createPushClient(berth.url).putManifest('team/app', 'v1', multi)
  assert.equal(response.status, 201)
  await indexed()
  const path = { name: 'team/app', digest: multi.digest, reference: multi.digest }
  const described = await client().ask('manifest', { path })
  assert.deepEqual(
    described.children.map(({ platform }) => platform),
    ['linux/amd64', 'linux/arm64'],
  )
  const details = await client().ask('details', { path })
  assert.deepEqual(details.children, [
    { digest: first.digest, stored: true },
    { digest: second.digest, stored: false },
  ])
  const tags = await client().ask('tags', { path })
  assert.equal(tags.tags[0]?.stored, 'part')
  const missing = await client().fail('manifest', { path: { ...path, reference: second.digest } })
  assert.equal(missing.code, 'MANIFEST_UNKNOWN')

  for (const config of ['{ not json', '[]', '"x"', 'null']) {
    const broken = imageWith(config)
    await push('team/broken', broken, 'v1')
    const reply = await client().send('manifest', {
      path: { name: 'team/broken', reference: broken.digest },
    })
    assert.doesNotMatch(String(reply.headers['cache-control']), /immutable/)
    const { config: shown, layers } = await client().ask('manifest', {
      path: { name: 'team/broken', reference: 'v1' },
    })
    assert.match(shown?.problem ?? '', /JSON object/)
    assert.equal(layers.length, 2)
  }
})

test('a corrupt or lost config is said in its place, and the rest is answered', async () => {
  const image = makeImage()
  await push('team/app', image, 'v1')
  const [config] = image.blobs
  assert.ok(config)
  const hex = config.digest.slice(7)
  const file = join(
    berth.directory,
    'data/hosted/docker/registry/v2/blobs/sha256',
    hex.slice(0, 2),
    hex,
    'data',
  )
  const path = { name: 'team/app', reference: image.digest }
  await rm(file)
  await writeFile(file, Buffer.alloc(config.bytes.length))
  const corrupt = await client().ask('manifest', { path })
  assert.match(corrupt.config?.problem ?? '', /cannot read the config/)
  await rm(file, { force: true })
  const lost = await client().ask('manifest', { path })
  assert.match(lost.config?.problem ?? '', /cannot read the config/)
  assert.equal(lost.layers.length, 2)
})

test('the details tell what else has the layers, and which referrers there are, as a tree', async () => {
  const base = layer(1000, 1)
  const image = makeImage({ layers: [base, layer(10, 2)] })
  await push('team/app', image, 'v1', 'v2')
  await push('team/app', makeImage({ layers: [base] }), 'v3')
  await push('other/app', makeImage({ layers: [base, layer(10, 3)] }), 'v1')
  const sbom = referrerOf(image, 'application/spdx+json')
  await push('team/app', sbom)
  const signature = referrerOf(sbom, 'application/vnd.dev.sigstore.bundle.v0.3+json')
  await push('team/app', signature)
  const cosign = makeImage({ layers: [layer(20, 4)] })
  await push('team/app', cosign, `sha256-${image.digest.slice(7)}.sig`)
  await indexed()
  const details = await client().ask('details', {
    path: { name: 'team/app', digest: image.digest },
  })
  assert.deepEqual(details.tags, ['v1', 'v2'])
  const shared = details.blobs.find(({ digest }) => digest === base.digest)
  assert.deepEqual(shared, { digest: base.digest, stored: true, sharedBy: 2 })
  const [first, second] = details.referrers
  assert.equal(first?.digest, sbom.digest)
  assert.equal(first?.kind, 'sbom')
  assert.deepEqual(
    first?.referrers.map(({ digest, kind }) => ({ digest, kind })),
    [{ digest: signature.digest, kind: 'attestation' }],
  )
  assert.equal(second?.digest, cosign.digest)
  assert.equal(second?.kind, 'signature')
  assert.deepEqual(details.problems, [])
  assert.deepEqual(details.inUse, { known: true, isInUse: false, uses: [], truncated: false })
})

test('a tag says when which rule deletes it', async () => {
  await berth.start({
    config: {
      upstreams: [],
      auth: { access: everything },
      retention: {
        rules: [
          { name: 'old', action: 'delete', repositories: ['**'], tags: ['dev-*'], olderThan: '7d' },
          { name: 'releases', action: 'keep', repositories: ['**'], tags: ['v*'] },
        ],
      },
    },
  })
  await push('team/app', makeImage(), 'dev-1')
  await push('team/app', makeImage(), 'v1')
  await indexed()
  const { tags } = await client().ask('tags', { path: { name: 'team/app' } })
  const [dev, release] = tags
  assert.equal(dev?.expiry?.rule, 'old')
  const days = (Date.parse(dev?.expiry?.at ?? '') - Date.now()) / 86_400_000
  assert.ok(days > 6.9 && days <= 7, `${days}`)
  assert.deepEqual(release?.expiry, { rule: 'releases', keptBy: 'rule' })
})

test('a name that ends like a path of the API is a repository like any other', async () => {
  const image = makeImage()
  for (const name of ['tags', 'manifests/v1', 'a/tags', 'a/manifests/b', 'details']) {
    await push(name, image, 'v1')
    const { tags } = await client().ask('tags', { path: { name } })
    assert.deepEqual(
      tags.map(({ tag }) => tag),
      ['v1'],
    )
    const found = await client().ask('manifest', { path: { name, reference: 'v1' } })
    assert.equal(found.name, name)
    const encoded = name.replaceAll('/', '%2F')
    assert.equal((await client().ask('tags', { path: { name: encoded } })).name, name)
  }
  for (const name of ['-', 'a/-/b', '..', 'A', '%00', 'a//b'])
    assert.ok((await client().fail('tags', { path: { name } })).status < 500, name)
})
