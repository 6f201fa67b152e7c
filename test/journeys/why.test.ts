import assert from 'node:assert/strict'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import type { Status } from '../../src/cli/administration/status.ts'
import type { Why } from '../../src/why/why.ts'
import { eventually, removeBerth, startBerth } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { runCommand } from '../support/command.ts'
import { makeImage, makeIndex, randomBlob } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { createPushClient } from '../support/push-client.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

async function startOne(t: TestContext, config: Readonly<Record<string, unknown>>) {
  const berth = await startBerth({ config: { upstreams: [], ...config } })
  t.after(() => removeBerth(berth))
  const socket = join(berth.cache, 'berth-query.sock')
  const run = (...args: readonly string[]) => runCommand([...args, '--socket', socket])
  const why = async (image: string) => {
    const { stdout, stderr } = await run('why', image, '-o', 'json')
    assert.equal(stderr, '')
    return JSON.parse(stdout) as Why
  }
  const status = async () => JSON.parse((await run('status', '-o', 'json')).stdout) as Status
  return { berth, run, why, status, client: createPushClient(berth.url) }
}

/** Everybody may do everything. */
const open = { hosted: [{ prefix: 'local' }], auth: { access: everything } }

/** A registry with an image, and a Berth that proxies it below `up`. */
async function setScene(t: TestContext, tags: object = {}) {
  const upstream = await startOne(t, open)
  const image = makeImage()
  await upstream.client.push('local/app', image, 'v1')
  const proxy = await startOne(t, {
    upstreams: ['up', 'mirror.example'].map((prefix) => ({
      ...{ prefix, url: upstream.berth.url, credentials: { type: 'anonymous' }, tags },
    })),
  })
  return { upstream, proxy, image }
}

suite('berth why of a proxied image', () => {
  test('pulls nothing, then knows what the cache has, and tells it by host name too', async (t) => {
    const { upstream, proxy, image } = await setScene(t)
    const before = await proxy.why('localhost:1/up/local/app:v1')
    assert.equal(before.servedBy, 'upstream')
    assert.deepEqual(before.rule, {
      ...{ kind: 'upstream', prefix: 'up', url: upstream.berth.url, push: false },
    })
    assert.equal(before.upstream?.status, 200)
    assert.equal(before.digest, undefined)
    const asked = upstream.berth.logs().filter(({ msg }) => msg === 'request')
    assert.ok(asked.some(({ method, route }) => method === 'GET' && route === '/v2/'))
    assert.ok(
      !asked.some(
        ({ method, reference }) => /GET|HEAD/.test(`${method}`) && reference !== undefined,
      ),
    )
    assert.equal(await proxy.berth.metric('berth_cache_blobs'), 0)

    await pullImage(proxy.berth, 'up/local/app', image, 'v1')
    const after = await proxy.why('up/local/app:v1')
    assert.equal(after.servedBy, 'cache')
    assert.equal(after.digest?.digest, image.digest)
    assert.ok(after.digest?.freshUntil !== undefined)
    const { content } = after
    assert.equal(content?.place, 'cache')
    assert.equal(content?.storedBlobs, image.blobs.length + 1)
    const size = image.blobs.reduce((sum, { bytes }) => sum + bytes.length, image.bytes.length)
    assert.deepEqual([content?.storedSize, content?.size], [size, size])
    const byHost = await proxy.why('mirror.example/local/app:v1')
    assert.equal(byHost.name, 'mirror.example/local/app')
    assert.ok(byHost.rule?.kind === 'upstream' && byHost.rule.namespace === 'mirror.example')
  })

  test('says that the upstream is down, and until when a stale tag is served', async (t) => {
    const { upstream, proxy, image } = await setScene(t, { ttl: 0, staleIfError: '1h' })
    await pullImage(proxy.berth, 'up/local/app', image, 'v1')
    await upstream.berth.stop()
    const found = await proxy.why('up/local/app:v1')
    assert.equal(found.servedBy, 'stale')
    assert.match(found.upstream?.unreachable ?? '', /ECONNREFUSED|refused/)
    assert.ok(Date.parse(found.digest?.staleUntil ?? '') > Date.now())
    assert.equal((await get(`${proxy.berth.url}/v2/up/local/app/manifests/v1`)).status, 200)
    assert.equal((await proxy.why(`up/local/app@${image.digest}`)).servedBy, 'cache')
    const lost = await proxy.run('why', 'up/local/other:v1')
    assert.equal(lost.status, 1)
    assert.match(lost.stdout, /FAIL {2}upstream +http.* does not answer/)
    assert.match(lost.stdout, /→ a pull fails; find out why with: berth doctor upstream/)
  })

  test('a digest of another repository is not in the cache for this one', async (t) => {
    const { proxy, image } = await setScene(t)
    await pullImage(proxy.berth, 'up/local/app', image, 'v1')
    const other = await proxy.why(`up/local/other@${image.digest}`)
    assert.equal(other.servedBy, 'upstream')
    assert.equal(other.content, undefined)
  })

  test('an image of which one layer is missing has to be downloaded', async (t) => {
    const { proxy, image } = await setScene(t)
    await get(`${proxy.berth.url}/v2/up/local/app/manifests/v1`)
    const found = await proxy.why('up/local/app:v1')
    assert.equal(found.servedBy, 'upstream')
    assert.deepEqual(
      new Set(found.content?.missing),
      new Set(image.blobs.map(({ digest }) => digest)),
    )
  })
})

suite('berth why of a hosted image', () => {
  const rule = {
    ...{ name: 'previews', action: 'delete', repositories: ['local/**'] },
    ...{ tags: ['pr-*'], olderThan: '7d' },
  }

  test('knows who pushed it, and when which rule deletes it', async (t) => {
    const scene = await startOne(t, { ...open, retention: { rules: [rule] } })
    const image = makeImage()
    await scene.client.push('local/app', image, 'pr-1')
    await eventually('the index knows it', async () => {
      const { lifetime, servedBy } = await scene.why('localhost:30026/local/app:pr-1')
      assert.equal(servedBy, 'hosted')
      return lifetime?.kind === 'hosted' && lifetime.rule === 'previews'
    })
    const { lifetime } = await scene.why('local/app:pr-1')
    assert.ok(lifetime?.kind === 'hosted')
    assert.equal(lifetime.reason, 'not-yet')
    const days = (Date.parse(lifetime.deletedFrom ?? '') - Date.now()) / 86_400_000
    assert.ok(days > 6.9 && days <= 7, `${days} days`)
    const byDigest = await scene.why(`local/app@${image.digest}`)
    assert.deepEqual(byDigest.lifetime, lifetime)
    const { stdout, status } = await scene.run('why', 'local/app:pr-1')
    assert.equal(status, 0)
    assert.match(stdout, /ok {4}lifetime +pushed .* ago.*by the rule "previews"/)
    assert.match(stdout, /→ the next pull gets it from the hosted volume; nothing to do\n$/)
  })

  test('a missing tag, a missing layer and an absent platform are said', async (t) => {
    const scene = await startOne(t, { ...open, hosted: [{ prefix: 'local', sparse: true }] })
    const missing = await scene.run('why', 'local/app:v9')
    assert.equal(missing.status, 1)
    assert.match(missing.stdout, /FAIL {2}digest +the repository has no tag v9\n/)

    const [one, other] = [makeImage(), makeImage({ layers: [randomBlob(1000)] })]
    await scene.client.push('local/app', one)
    const index = makeIndex([one, other])
    assert.equal((await scene.client.putManifest('local/app', 'v1', index)).status, 201)
    const sparse = await scene.why('local/app:v1')
    assert.equal(sparse.servedBy, 'hosted')
    assert.equal(sparse.content?.absentPlatforms.length, 1)

    assert.equal((await scene.client.putManifest('local/app', 'v2', other)).status, 201)
    const incomplete = await scene.run('why', 'local/app:v2')
    assert.equal(incomplete.status, 1)
    assert.match(incomplete.stdout, /FAIL {2}content .*missing sha256:/)
  })

  test('lists of other clusters tell who runs it', async (t) => {
    const scene = await startOne(t, open)
    const image = makeImage()
    await scene.client.push('local/app', image, 'v1')
    const list = join(scene.berth.directory, 'data/hosted')
    const file = join(scene.berth.directory, 'berth.yaml')
    const put = await runCommand(['in-use', 'put', 'edge', '--config', file], {
      input: `h/elsewhere@${image.digest}\nh:1/local/app:v1@${makeImage().digest}\nh:1/local/app:v1@${image.digest}\n`,
    })
    assert.equal(put.status, 0, put.stderr + list)
    await eventually('it is read', async () => {
      const { uses } = await scene.why('local/app:v1')
      return uses?.objects[0]?.name === 'edge'
    })
    const { stdout } = await scene.run('why', 'local/app:v1')
    assert.match(stdout, /runs +.*Cluster edge; they run 2 images of the tag: sha256:\w+ \(1\)/)
  })
})

test('what is no image, and a name that nothing serves, is said', async (t) => {
  const scene = await startOne(t, open)
  for (const image of [
    'UPPER',
    'local/app:!',
    'registry.example/app:1',
    '\u001b[31m',
    'x'.repeat(600),
  ]) {
    const { status, stdout } = await scene.run('why', image)
    assert.equal(status, 1)
    assert.match(stdout, /FAIL {2}name/)
    assert.ok(!stdout.includes('\u001b'))
  }
  const { stderr } = await scene.run('why', 'x'.repeat(2000))
  assert.match(stderr, /cannot ask the registry/)
})

suite('berth status', () => {
  test('counts what the cache and the hosted volume have', async (t) => {
    const { upstream, proxy, image } = await setScene(t)
    await pullImage(proxy.berth, 'up/local/app', image, 'v1')
    await pullImage(proxy.berth, 'up/local/app', image, 'v1')
    const { cache, upstreams, ready, version } = await proxy.status()
    assert.ok(ready)
    assert.equal(version, 'test')
    assert.equal(cache.blobs, image.blobs.length + 1)
    assert.ok(cache.requests.hits >= cache.requests.misses && cache.requests.misses > 0)
    assert.deepEqual(upstreams.slice(0, 1), [
      { ...{ prefix: 'up', url: upstream.berth.url, push: false, identity: 'anonymous' } },
    ])
    await eventually(
      'the index has counted',
      async () => (await upstream.status()).hosted?.tags === 1,
    )
    const { stdout, status } = await upstream.run('status')
    assert.equal(status, 0)
    assert.match(stdout, /^hosted +.* 1 tags in 1 repositories$/m)
  })

  test('an upstream that is not usable is a problem', async (t) => {
    const { upstream, proxy } = await setScene(t)
    await upstream.berth.stop()
    for (let at = 0; at < 6; at += 1)
      await get(`${proxy.berth.url}/v2/up/local/app${at}/manifests/v1`)
    const { stdout } = await proxy.run('status')
    assert.match(stdout, /^upstream .*PROBLEM: /m)
    assert.match(stdout, /^problem +upstream up: /m)
  })
})

test('without a registry, or with an old one, commands say so', async () => {
  const { stderr, status } = await runCommand(['why', 'a:1', '--socket', '/nowhere/berth.sock'])
  assert.equal(status, 1)
  assert.match(stderr, /^berth: cannot ask the registry at \/nowhere\/berth\.sock: /)
})
