import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createListDirectory, putList } from '../../src/in-use/in-use.ts'
import { createApiClient } from '../support/api-client.ts'
import { eventually } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { blobOf, type Image, makeImage, makeIndex } from '../support/images.ts'
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
const path = { name: 'team/app' }
const dryRun = { query: { dryRun: '' } }
const exists = async (reference: string, name = 'team/app') =>
  (await get(`${berth.url}/v2/${name}/manifests/${reference}`, { method: 'HEAD' })).status === 200
const layer = (size: number, byte: number) => blobOf(Buffer.alloc(size, byte))

test('a preview of a removal says what it frees, and removes nothing', async () => {
  const base = layer(1_000_000, 1)
  const image = makeImage({ layers: [base, layer(50_000, 2)] })
  await push('team/app', image, 'v1', 'v2')
  await push('other/app', makeImage({ layers: [base] }), 'v1')
  await indexed()
  const tag = await client().ask('deleteTag', { path: { ...path, tag: 'v1' }, ...dryRun })
  assert.deepEqual(tag, {
    name: 'team/app',
    digest: image.digest,
    removed: false,
    tags: ['v1'],
    manifests: [],
    remainingTags: ['v2'],
    frees: 0,
    inUse: { known: true, isInUse: false, uses: [], truncated: false },
  })
  const reference = image.digest
  const whole = await client().ask('deleteManifest', { path: { ...path, reference }, ...dryRun })
  assert.deepEqual(whole.tags, ['v1', 'v2'])
  assert.deepEqual(whole.manifests, [image.digest])
  assert.ok(whole.frees !== undefined && whole.frees >= 50_000 && whole.frees < 1_000_000)
  assert.ok(await exists('v1'))
  assert.ok(await exists(image.digest))
})

test('a tag is removed and the image keeps the others; the manifest goes with all of them', async () => {
  const image = makeImage()
  await push('team/app', image, 'v1', 'v2')
  await indexed()
  const { removed } = await client().ask('deleteTag', { path: { ...path, tag: 'v1' } })
  assert.equal(removed, true)
  assert.ok(!(await exists('v1')))
  assert.ok(await exists('v2'))
  const whole = await client().ask('deleteManifest', {
    path: { ...path, reference: image.digest },
  })
  assert.deepEqual(whole.tags, ['v2'])
  assert.ok(!(await exists('v2')))
  assert.ok(!(await exists(image.digest)))
  assert.equal((await client().fail('deleteTag', { path: { ...path, tag: 'v2' } })).status, 404)
})

test('a tag that has moved since somebody looked at it is not removed', async () => {
  const [before, now] = [makeImage(), makeImage()]
  await push('team/app', before, 'v1')
  const of = { path: { ...path, tag: 'v1' } }
  const { digest } = await client().ask('deleteTag', { ...of, ...dryRun })
  assert.equal(digest, before.digest)
  await push('team/app', now, 'v1')
  const { status, detail } = await client().fail('deleteTag', { ...of, query: { digest } })
  assert.equal(status, 412)
  assert.ok(detail.includes(now.digest), detail)
  assert.ok(await exists('v1'))
  assert.equal((await client().fail('deleteTag', { ...of, query: { digest: 'v1' } })).status, 400)
  const removal = await client().ask('deleteTag', { ...of, query: { digest: now.digest } })
  assert.equal(removal.removed, true)
  assert.ok(!(await exists('v1')))
})

test('an index goes with its children and their referrers, but not with a child that others need', async () => {
  const [own, tagged, shared] = ['amd64', 'arm64', 's390x'].map((architecture) =>
    makeImage({ architecture }),
  )
  assert.ok(own && tagged && shared)
  const multi = makeIndex([own, tagged, shared])
  const other = makeIndex([shared])
  const subject = { mediaType: own.mediaType, digest: own.digest, size: own.bytes.length }
  const signature = makeImage({ extra: { subject, artifactType: 'application/x.signature' } })
  await push('team/app', multi, 'v1')
  await push('team/app', other, 'v2')
  await push('team/app', tagged, 'only-arm')
  await push('team/app', signature)
  await indexed()
  const child = await client().ask('deleteManifest', {
    path: { ...path, reference: own.digest },
    ...dryRun,
  })
  assert.match(child.blocked ?? '', new RegExp(multi.digest))
  const refused = await client().fail('deleteManifest', {
    path: { ...path, reference: own.digest },
  })
  assert.equal(refused.status, 405)
  const whole = await client().ask('deleteManifest', {
    path: { ...path, reference: multi.digest },
  })
  assert.deepEqual(
    whole.manifests.toSorted(),
    [multi.digest, own.digest, signature.digest].toSorted(),
  )
  assert.ok(await exists(tagged.digest))
  assert.ok(await exists(shared.digest))
  assert.ok(!(await exists(own.digest)))
  assert.ok(!(await exists(signature.digest)))
})

test('a tag points to what it pointed to before, and comes back after its removal', async () => {
  const [one, two] = [makeImage(), makeImage()]
  await push('team/app', one, 'v1')
  await push('team/app', two, 'v1')
  await indexed()
  const of = { path: { ...path, tag: 'v1' } }
  const { versions } = await client().ask('tagHistory', of)
  assert.deepEqual(
    versions.map(({ digest, current }) => ({ digest, current })),
    [
      { digest: two.digest, current: true },
      { digest: one.digest, current: false },
    ],
  )
  assert.deepEqual(
    versions.map(({ content }) => content),
    ['stored', 'stored'],
  )
  const undone = await client().ask('undoTag', of)
  assert.deepEqual(undone, {
    name: 'team/app',
    digest: one.digest,
    before: two.digest,
    changed: true,
  })
  await client().ask('undoTag', { ...of, query: { to: two.digest } })
  assert.equal((await client().ask('tagHistory', of)).versions[0]?.digest, two.digest)
  const again = { ...of, query: { to: two.digest } }
  assert.equal((await client().fail('undoTag', again)).status, 404)
  await client().ask('deleteTag', of)
  assert.ok(!(await exists('v1')))
  const { tags, may } = await client().ask('removedTags', { path })
  assert.deepEqual(
    tags.map(({ tag, digest, content }) => ({ tag, digest, content })),
    [{ tag: 'v1', digest: two.digest, content: 'stored' }],
  )
  assert.equal(may.push, true)
  assert.ok(tags[0] !== undefined && Date.parse(tags[0].until) > Date.parse(tags[0].removedAt))
  await client().ask('undoTag', of)
  assert.ok(await exists('v1'))
  assert.deepEqual((await client().ask('removedTags', { path })).tags, [])
  assert.equal((await client().fail('undoTag', { path: { ...path, tag: 'v9' } })).status, 404)
})

test('a tag says what runs under it if that is not one image; users who may not delete do not learn it', async () => {
  const [one, two, child] = [makeImage(), makeImage(), makeImage({ architecture: 'arm64' })]
  const index = makeIndex([child])
  for (const image of [one, two, index]) await push('team/app', image, 'v1')
  await push('team/app', two, 'same')
  await berth.stop()
  const directory = `${berth.directory}/data/hosted/_berth/in-use`
  const app = 'registry.example/team/app'
  for (const [cluster, { digest }] of Object.entries({
    a: one,
    b: two,
    c: two,
    d: child,
    e: index,
  }))
    await putList(
      createListDirectory(directory),
      cluster,
      `${app}:v1@${digest} ${app}:same@${two.digest}`,
    )
  const read = { users: ['*'], repositories: ['**'], actions: ['pull'] }
  const start = (rule: object) =>
    berth.start({ directory: berth.directory, config: { upstreams: [], auth: { access: [rule] } } })
  await start(everything[0] ?? {})
  await indexed()
  const tags = async () =>
    (await client().ask('tags', { path })).tags.map(({ tag, running }) => [tag, running])
  const expected = [
    { digest: two.digest, pods: 2 },
    // The image of a platform is what runs of the index.
    { digest: index.digest, pods: 2 },
    { digest: one.digest, pods: 1 },
  ]
  const byDigest = (list: typeof expected) =>
    list.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))
  const [same, v1] = await tags()
  assert.deepEqual(same, ['same', []])
  assert.deepEqual(v1?.[0], 'v1')
  assert.deepEqual(byDigest(v1?.[1] as typeof expected), byDigest(expected))
  const { running, inUse } = await client().ask('details', {
    path: { ...path, digest: index.digest },
  })
  assert.deepEqual(
    running.map(({ tag, digests }) => [tag, digests.length]),
    [['v1', 3]],
  )
  assert.equal(inUse.uses.length, 5)
  assert.ok(inUse.uses.some((use) => use.running === one.digest))
  await start({ ...read, repositories: ['team/app'] })
  assert.deepEqual(await tags(), [
    ['same', []],
    ['v1', []],
  ])
})

test('changes from pages of other origins, and forms, are denied', async () => {
  await push('team/app', makeImage(), 'v1')
  const tag = `${berth.url}/api/repositories/team/app/-/tags/v1`
  const foreign: readonly Readonly<Record<string, string>>[] = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site', origin: berth.url },
  ]
  for (const headers of foreign) {
    assert.equal((await get(tag, { method: 'DELETE', headers })).status, 403)
    const json = { ...headers, 'content-type': 'application/json' }
    assert.equal((await get(`${tag}/undo`, { method: 'POST', headers: json })).status, 403)
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', undefined]) {
    const headers = type === undefined ? {} : { 'content-type': type }
    assert.equal((await get(`${tag}/undo`, { method: 'POST', headers })).status, 415)
  }
  assert.ok(await exists('v1'))
  // Behind a proxy that changes the host, the browser still knows where its page is from.
  const own = { origin: 'https://registry.example', 'sec-fetch-site': 'same-origin' }
  assert.equal((await get(tag, { method: 'DELETE', headers: own })).status, 200)
})

test('nothing is changed on a volume that is only read, and the answers say so', async () => {
  await push('team/app', makeImage(), 'v1')
  await berth.start({
    directory: berth.directory,
    config: {
      upstreams: [],
      auth: { access: everything },
      storage: { hosted: { readOnly: true, directory: `${berth.directory}/data/hosted` } },
    },
  })
  const { may } = await client().ask('tags', { path })
  assert.equal(may.delete, false)
  assert.match(may.readOnly ?? '', /readOnly/)
  assert.equal((await client().fail('removedTags', { path })).status, 405)
  for (const name of ['deleteTag', 'undoTag'] as const)
    assert.equal((await client().fail(name, { path: { ...path, tag: 'v1' } })).status, 405)
})
