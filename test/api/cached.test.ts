import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { createApiClient } from '../support/api-client.ts'
import { eventually } from '../support/berth.ts'
import { basicOf } from '../support/canaries.ts'
import { get } from '../support/client.ts'
import { useDirectory } from '../support/directory.ts'
import { blobOf, makeImage, makeIndex } from '../support/images.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const base = blobOf(Buffer.alloc(300_000, 1))
const image = makeImage({ layers: [base, blobOf(Buffer.alloc(70_000, 2))] })
const arm = makeImage({ architecture: 'arm64' })
const multi = makeIndex([image, arm])
const other = makeImage({ layers: [base] })

const upstream = await useUpstream()
const htpasswd = join(await useDirectory(), 'htpasswd')
const access = [
  { users: ['alice'], repositories: ['up/team/**'], actions: ['pull'] },
  { users: ['carol'], repositories: ['**'], actions: ['pull', 'push', 'delete'] },
]
const berth = useBerth()
const carol = 'carol:password of carol'
const alice = 'alice:password of alice'

beforeEach(async () => {
  upstream.put('team/app', 'v1', multi)
  upstream.put('team/app', 'v1.10', multi)
  upstream.put('secret/app', 'v1', other)
  const lines = ['alice', 'carol'].map(
    async (user) => `${user}:${await hashPassword(`password of ${user}`, 4)}`,
  )
  await writeFile(htpasswd, (await Promise.all(lines)).join('\n'))
  await start(upstream.url)
})

function start(url: string): Promise<void> {
  return berth.start({ config: { upstreams: [{ prefix: 'up', url }], auth: { htpasswd, access } } })
}

const client = (login = carol) => createApiClient(berth, login)
const pull = async (path: string) => {
  const headers = { authorization: `Basic ${basicOf('carol', 'password of carol')}` }
  assert.equal((await get(`${berth.url}/v2/${path}`, { headers })).status, 200, path)
}
const pullAll = async (name: string, tag: string, ...images: readonly (typeof image)[]) => {
  await pull(`${name}/manifests/${tag}`)
  for (const one of images) {
    await pull(`${name}/manifests/${one.digest}`)
    for (const { digest } of one.blobs) await pull(`${name}/blobs/${digest}`)
  }
}

test('what was pulled is listed as cached, with what of it is on the disk', async () => {
  await pullAll('up/team/app', 'v1', image)
  await pullAll('up/secret/app', 'v1', other)
  const { repositories, total } = await client().ask('repositories')
  assert.equal(total, 2)
  const app = repositories.find(({ name }) => name === 'up/team/app')
  assert.equal(app?.kind, 'cached')
  assert.equal(app?.upstream, 'up')
  assert.equal(app?.tags, 1)
  assert.ok(app?.size !== undefined && app.size > 370_000)
  assert.ok(app.checkedAt && app.pulledAt)

  const path = { name: 'up/team/app' }
  const { tags, may, kind } = await client().ask('tags', { path })
  assert.equal(kind, 'cached')
  assert.equal(may.push, false)
  assert.match(may.readOnly ?? '', /push: true/)
  const [tag] = tags
  assert.equal(tag?.digest, multi.digest)
  assert.deepEqual(tag?.platforms, ['linux/amd64', 'linux/arm64'])
  assert.equal(tag?.stored, 'all', 'one platform is here as a whole')
  assert.ok(tag?.checkedAt && tag.pulledAt)

  const details = await client().ask('details', { path: { ...path, digest: multi.digest } })
  assert.deepEqual(details.children, [
    { digest: image.digest, stored: true },
    { digest: arm.digest, stored: false },
  ])
  assert.deepEqual(details.tags, ['v1'])
  const one = await client().ask('details', { path: { ...path, digest: image.digest } })
  assert.deepEqual(one.parents, [multi.digest])
  assert.deepEqual(
    one.blobs.find(({ digest }) => digest === base.digest),
    {
      digest: base.digest,
      stored: true,
      sharedBy: 1,
    },
  )
})

test('a platform that nobody pulled is shown, without its layers', async () => {
  await pull('up/team/app/manifests/v1')
  const path = { name: 'up/team/app', reference: arm.digest }
  const { config, layers } = await client().ask('manifest', { path })
  assert.equal(config?.platform, 'linux/arm64')
  assert.equal(layers.length, 2)
  for (const { digest } of arm.blobs.slice(1))
    assert.equal(upstream.count(digest), 0, 'no layer was downloaded')
})

test('tags of the cache are sorted, filtered and paged, also those whose manifest was evicted', async () => {
  await pullAll('up/team/app', 'v1.10')
  await pullAll('up/team/app', 'v1')
  const path = { name: 'up/team/app' }
  const tags = async (query: Readonly<Record<string, string | number>>) => {
    const found = await client().ask('tags', { path, query })
    return [found.total, ...found.tags.map(({ tag }) => tag), found.next]
  }
  assert.deepEqual(await tags({}), [2, 'v1', 'v1.10', undefined])
  assert.deepEqual(await tags({ order: 'desc', n: 1 }), [2, 'v1.10', 1])
  assert.deepEqual(await tags({ sort: 'size' }), [2, 'v1', 'v1.10', undefined])
  assert.deepEqual(await tags({ filter: '10' }), [1, 'v1.10', undefined])
})

test('the usage of the cache says what evictions free, across repositories', async () => {
  await pullAll('up/team/app', 'v1', image)
  await pullAll('up/secret/app', 'v1', other)
  const { kinds } = await client().ask('usage', { query: { prefix: 'up' } })
  const [, cached] = kinds
  assert.deepEqual(
    cached?.parts.map(({ name }) => name),
    ['up/team/app', 'up/secret/app'],
  )
  const shared = cached.unique - cached.parts.reduce((sum, { own }) => sum + own, 0)
  assert.ok(shared >= 300_000 && shared < 330_000, `${shared}`)
  const usage = await client().ask('taggedUsage', { path: { name: 'up/team/app' } })
  const [tag] = usage.tagged
  assert.deepEqual([usage.kind, tag?.tags, tag?.digest], ['cached', ['v1'], multi.digest])
  assert.equal(tag?.own, usage.own)
  assert.ok(usage.own > 70_000 && usage.own < 100_000, `${usage.own}`)
  assert.equal(usage.untagged, undefined)
})

test('a user sees no repository, image, layer count, upstream or failure that the rules do not allow', async () => {
  await pullAll('up/team/app', 'v1', image)
  await pullAll('up/secret/app', 'v1', other)
  const { repositories, total } = await client(alice).ask('repositories')
  assert.deepEqual([total, ...repositories.map(({ name }) => name)], [1, 'up/team/app'])
  const shared = await client(alice).ask('details', {
    path: { name: 'up/team/app', digest: image.digest },
  })
  assert.equal(shared.blobs.find(({ digest }) => digest === base.digest)?.sharedBy, 0)
  const hidden = { name: 'up/secret/app', tag: 'v1', reference: 'v1', digest: other.digest }
  for (const operation of ['tags', 'manifest', 'details', 'refreshTag', 'deleteTag'] as const)
    assert.equal((await client(alice).fail(operation, { path: hidden })).status, 403, operation)
  const inUse = { path: hidden, query: { name: 'up/secret/app' } }
  assert.equal((await client(alice).fail('inUse', inUse)).status, 403)
  const [, visible] = (await client(alice).ask('usage')).kinds
  assert.deepEqual([visible?.partial, visible?.repositories], [true, 1])
  assert.equal(visible?.own, visible?.unique, 'that secret/app shares the base is not told')
  assert.equal((await client(alice).fail('taggedUsage', { path: hidden })).status, 403)
  // The digest is in a repository that alice may pull from, or not at all.
  const elsewhere = { name: 'up/team/app', digest: other.digest }
  assert.equal((await client(alice).fail('details', { path: elsewhere })).status, 404)

  const overview = await client(alice).ask('overview')
  for (const part of ['traffic', 'disk', 'parts'] as const) assert.equal(overview[part], undefined)
  assert.deepEqual(
    overview.upstreams.map(({ name }) => name),
    ['up'],
  )
  assert.doesNotMatch(JSON.stringify(overview), /secret/)
  assert.equal(overview.upstreams[0]?.url, undefined)
})

test('the overview tells what the cache saved, how the upstream is, and what failed', async (t) => {
  const own = await startScriptedUpstream()
  t.after(own.close)
  own.put('team/app', 'v1', multi)
  await start(own.url)
  await pullAll('up/team/app', 'v1', image)
  await pullAll('up/team/app', 'v1', image)
  const before = await client().ask('overview')
  assert.ok(before.traffic && before.traffic.total.hits > 0 && before.traffic.total.misses > 0)
  assert.ok(before.traffic.total.served > before.traffic.total.fetched)
  assert.ok(before.disk && before.disk.cache.bytes > 370_000)
  assert.deepEqual(
    before.upstreams.map(({ name, state }) => ({ name, state })),
    [{ name: 'up', state: 'ok' }],
  )
  assert.deepEqual(before.failures, [])

  await own.close()
  const headers = { authorization: `Basic ${basicOf('carol', 'password of carol')}` }
  await eventually('the breaker is open', async () => {
    await get(`${berth.url}/v2/up/secret/app/manifests/v${Math.random()}`, { headers })
    const { upstreams } = await client().ask('overview')
    return upstreams[0]?.state === 'down'
  })
  const after = await client().ask('overview')
  assert.match(after.upstreams[0]?.problem ?? '', /not contacting http.*; check its host and port/)
  const [hidden] = (await client(alice).ask('overview')).upstreams
  assert.equal(hidden?.state, 'down')
  assert.doesNotMatch(JSON.stringify(hidden), /127\.0\.0\.1|localhost|refused/)
  const [failure] = after.failures
  assert.equal(failure?.name, 'up/secret/app')
  assert.ok(failure && failure.status >= 500)
  assert.deepEqual((await client(alice).ask('overview')).failures, [])
  // What is cached is still shown.
  assert.equal((await client().ask('tags', { path: { name: 'up/team/app' } })).total, 1)
})

test('a tag is compared with the upstream at once when somebody asks for it', async () => {
  await pullAll('up/team/app', 'v1')
  upstream.put('team/app', 'v1', image)
  const of = { path: { name: 'up/team/app', tag: 'v1' } }
  const digest = async () => (await client().ask('tags', of)).tags[0]?.digest
  assert.equal(await digest(), multi.digest)
  assert.deepEqual(await client(alice).ask('refreshTag', of), {
    name: 'up/team/app',
    digest: image.digest,
    before: multi.digest,
    changed: true,
  })
  assert.equal(await digest(), image.digest)
  assert.equal((await client().ask('refreshTag', of)).changed, false)
  const gone = { path: { name: 'up/team/app', tag: 'v9' } }
  assert.equal((await client().fail('refreshTag', gone)).status, 404)
})
