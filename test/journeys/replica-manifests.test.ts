import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, afterEach, before, test } from 'node:test'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { createSignatures } from '../../src/replicas/signature.ts'
import { tagTarget } from '../../src/replicas/tag-answers.ts'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { codeOf, get } from '../support/client.ts'
import { type Image, makeImage } from '../support/images.ts'
import { pullBlob } from '../support/pull.ts'
import { createReplicaGroup, type ReplicaGroup } from '../support/replicas.ts'
import { type Answering, noRegistry } from '../support/scripted-upstream.ts'
import { useUpstream } from '../support/use-upstream.ts'
import { startWorkloadsApi } from '../support/workloads-api.ts'

const host = 'registry.test'
const upstream = await useUpstream()
const api = await startWorkloadsApi(['linux/amd64'])
after(api.close)
let group: ReplicaGroup
let berths: readonly Berth[]

before(async () => {
  group = await createReplicaGroup(3)
  berths = await Promise.all(
    group.addresses.map((_, at) =>
      startBerth({
        config: {
          upstreams: [{ url: upstream.url }, { prefix: 'limited', url: upstream.url }],
          replicas: group.config(at),
          // On a busy machine, a client waits rather than getting 503.
          limits: { answerTime: '2m' },
          inUse: {
            ...{ kubernetes: true, hosts: [host] },
            warmUp: { enabled: true, repositories: ['**'], namespaces: ['warm'] },
          },
        },
        environment: api.environment,
      }),
    ),
  )
  for (const berth of berths)
    await eventually('it knows all', async () => (await berth.metric('berth_replicas')) === 3)
})
after(async () => {
  for (const berth of berths) {
    await checkInvariants(berth)
    await removeBerth(berth)
  }
  await group.remove()
})
afterEach(() => upstream.behave())

const getManifest = (at: number, name: string, reference: string) =>
  get(`${(berths[at] as Berth).url}/v2/${name}/manifests/${reference}`)

/** A repository whose tag `1` this replica requests for all. */
function nameOwnedBy(owner: number, name: string): string {
  return group.ownerOf(`${name}:1`) === owner ? name : nameOwnedBy(owner, `${name}x`)
}

function imageOwnedBy(owner: number): Image {
  const image = makeImage()
  return group.ownerOf(image.digest) === owner ? image : imageOwnedBy(owner)
}

test('a tag is one GET of the upstream for the clients of all replicas', async () => {
  const name = nameOwnedBy(0, 'p/tag')
  const image = makeImage()
  upstream.put(name, '1', image)
  const pulls = Array.from({ length: 6 }, (_, at) => getManifest(at % 3, name, '1'))
  for (const { status, body } of await Promise.all(pulls))
    assert.deepEqual([status, body.equals(image.bytes)], [200, true])
  for (const at of [0, 1, 2])
    assert.equal((await getManifest(at, name, image.digest)).headers['x-cache'], 'hit')
  assert.equal(upstream.count(`/v2/${name}/manifests/`), 1)
})

test('a replica that has a tag from another one knows how old it is', async () => {
  const name = parseRepositoryName(nameOwnedBy(0, 'p/age'))
  upstream.put(name, '1', makeImage())
  const signatures = createSignatures(await readFile(group.secretFile, 'utf8'), Date.now)
  const ageAt = async (at: number): Promise<number> => {
    const target = tagTarget(name, parseTag('1'), upstream.url)
    const authorization = signatures.sign({ method: 'GET', target, writer: '' })
    const { body } = await get(group.urlOf(at) + target, { headers: { authorization } })
    return (JSON.parse(body.toString()) as { age: number }).age
  }
  assert.equal((await getManifest(0, name, '1')).status, 200)
  await eventually('it is older', async () => (await ageAt(0)) > 300)
  assert.equal((await getManifest(1, name, '1')).status, 200)
  assert.ok((await ageAt(1)) > 300)
})

test('what the upstream answers instead of a tag is the same at all replicas', async () => {
  const error = (code: string) => JSON.stringify({ errors: [{ code, message: 'no' }] })
  const answers: readonly (readonly [RegExp, Answering])[] = [
    [/404/, ({ reply }) => reply(404, {}, error('MANIFEST_UNKNOWN'))],
    [/403/, ({ reply }) => reply(403, {}, error('DENIED'))],
    [/403/, ({ reply }) => reply(401, {}, error('UNAUTHORIZED'))],
    [/502|503/, ({ reply }) => reply(404, noRegistry, 'the page of an ingress')],
    [/502|503/, ({ reply }) => reply(500)],
  ]
  for (const [number, [status, answer]] of answers.entries()) {
    const name = nameOwnedBy(0, `p/error-${number}`)
    upstream.on(`/v2/${name}/manifests/`, answer)
    const replies = await Promise.all([0, 1, 2].map((at) => getManifest(at, name, '1')))
    const [first] = replies
    assert.match(String(first?.status), status)
    for (const reply of replies)
      assert.deepEqual([reply.status, codeOf(reply)], [first?.status, first && codeOf(first)])
  }
})

test('a 429 for a tag is seen by all through its owner', async () => {
  const name = nameOwnedBy(0, 'limited/throttled')
  const path = `${name.replace('limited/', '/v2/')}/manifests/`
  upstream.on(path, ({ reply }) => reply(429, { 'retry-after': '60' }))
  for (const at of [1, 2, 0]) {
    const reply = await getManifest(at, name, '1')
    assert.deepEqual([reply.status, codeOf(reply)], [503, 'UNAVAILABLE'])
    assert.ok(Number(reply.headers['retry-after']) > 30)
  }
  assert.equal(upstream.count(path), 1)
})

test('a manifest by digest is one GET of its owner, and the right to it is asked by each replica', async () => {
  const [image, other] = [imageOwnedBy(0), imageOwnedBy(0)]
  for (const each of [image, other]) upstream.put('p/by-digest', undefined, each)
  const asked = (method: string) =>
    upstream.count(`${method} /v2/p/by-digest/manifests/${image.digest}`)
  for (const at of [1, 2, 0])
    assert.ok((await getManifest(at, 'p/by-digest', image.digest)).body.equals(image.bytes))
  assert.deepEqual([asked('GET'), asked('HEAD')], [1, 2])
  assert.equal((await getManifest(0, 'p/by-digest', other.digest)).status, 200)
  upstream.on(other.digest, ({ reply }) => reply(403, {}, '{"errors":[{"code":"DENIED"}]}'))
  const denied = await getManifest(1, 'p/by-digest', other.digest)
  assert.deepEqual([denied.status, codeOf(denied)], [403, 'DENIED'])
})

test('an image that all replicas warm up is sent by the upstream once', async () => {
  const image = makeImage()
  upstream.put('warm/app', '1', image)
  api.deploy('app', 'warm', { name: 'c', image: `${host}/warm/app:1` })
  for (const berth of berths)
    await eventually(
      'it has the image',
      async () => (await berth.metric('berth_warm_up_images_total{result="stored"}')) === 1,
    )
  for (const { digest } of image.blobs)
    assert.equal(upstream.count(`GET /v2/warm/app/blobs/${digest}`), 1)
  assert.equal(upstream.count('/v2/warm/app/manifests/'), 1)
  for (const berth of berths)
    for (const blob of image.blobs) assert.equal(await pullBlob(berth, 'warm/app', blob), 'hit')
})
