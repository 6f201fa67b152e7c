import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { createSignatures } from '../../src/replicas/signature.ts'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { get } from '../support/client.ts'
import { makeImage } from '../support/images.ts'
import { createPusher } from '../support/push-requests.ts'
import { createReplicaGroup, type ReplicaGroup } from '../support/replicas.ts'
import { useUpstream } from '../support/use-upstream.ts'

const actions = ['pull', 'push', 'delete']
const auth = {
  anonymous: 'rules',
  access: [{ users: ['*'], repositories: ['**'], actions }],
} as const
const slow = await useUpstream()
/** The index of a replica that is known and does not run. */
const dead = 3
let group: ReplicaGroup
/** A registry that takes pushes. */
let origin: Berth
let berths: readonly Berth[]

before(async () => {
  origin = await startBerth({ config: { hosted: [{ prefix: '' }], auth } })
  group = await createReplicaGroup(4)
  berths = await Promise.all(
    group.addresses.slice(0, dead).map((_, at) =>
      startBerth({
        config: {
          upstreams: [
            { prefix: 'up', url: origin.url, push: true },
            { prefix: 'slow', url: slow.url },
          ],
          replicas: group.config(at),
          auth,
        },
      }),
    ),
  )
  for (const berth of berths)
    await eventually('it knows all', async () => (await berth.metric('berth_replicas')) === 4)
})
after(async () => {
  for (const berth of [...berths, origin]) {
    await checkInvariants(berth)
    await removeBerth(berth)
  }
  await group.remove()
})

/** A repository whose tag `1` this replica requests for all. */
function nameOwnedBy(owner: number, name: string): string {
  return group.ownerOf(`${name}:1`) === owner ? name : nameOwnedBy(owner, `${name}x`)
}

const urlAt = (at: number) => (berths[at] as Berth).url
const manifestAt = (at: number, name: string, reference = '1') =>
  get(`${urlAt(at)}/v2/${name}/manifests/${reference}`)
const digestAt = async (at: number, name: string) =>
  (await manifestAt(at, name)).headers['docker-content-digest']

async function tagsAt(at: number, name: string): Promise<unknown> {
  const { body } = await get(`${urlAt(at)}/v2/${name}/tags/list`)
  return (JSON.parse(body.toString()) as { tags?: unknown }).tags
}

test('what is pushed at one replica is pulled at all, whichever asked the upstream before', async () => {
  for (const owner of [0, 1, 2]) {
    const name = nameOwnedBy(owner, `up/moved/${owner}`)
    const [old, next] = [makeImage(), makeImage()]
    await createPusher(urlAt(0)).image(name, '1', old)
    for (const at of [0, 1]) assert.equal(await digestAt(at, name), old.digest)
    assert.deepEqual(await tagsAt(2, name), ['1'])
    await createPusher(urlAt(1)).image(name, '1', next)
    await createPusher(urlAt(1)).image(name, '2', next)
    for (const at of [0, 1, 2]) assert.equal(await digestAt(at, name), next.digest, `at ${at}`)
    for (const at of [0, 1, 2]) assert.deepEqual(await tagsAt(at, name), ['1', '2'])
  }
})

test('what is deleted at one replica is gone at all', async () => {
  for (const owner of [0, 1, 2]) {
    const name = nameOwnedBy(owner, `up/deleted/${owner}`)
    const image = makeImage()
    await createPusher(urlAt(0)).image(name, '1', image)
    await createPusher(urlAt(0)).image(name, '2', image)
    for (const at of [0, 1]) assert.equal(await digestAt(at, name), image.digest)
    const deleted = await createPusher(urlAt(1)).send('DELETE', `/v2/${name}/manifests/1`)
    assert.equal(deleted.status, 202)
    for (const at of [0, 1, 2]) assert.equal((await manifestAt(at, name)).status, 404, `at ${at}`)
    for (const at of [0, 1, 2]) assert.deepEqual(await tagsAt(at, name), ['2'])
    for (const at of [0, 1, 2]) assert.equal((await manifestAt(at, name, '2')).status, 200)
    const path = `/v2/${name}/manifests/${image.digest}`
    assert.equal((await createPusher(urlAt(2)).send('DELETE', path)).status, 202)
    for (const at of [0, 1, 2])
      for (const reference of ['2', image.digest])
        assert.equal((await manifestAt(at, name, reference)).status, 404, `${reference} at ${at}`)
  }
})

test('a blob that was absent at one replica is there at once when its image was pushed at another', async () => {
  const name = 'up/absent'
  const image = makeImage()
  const statusesAt = (at: number, method: 'GET' | 'HEAD') =>
    Promise.all(
      image.blobs.map(async (blob) => {
        const url = `${urlAt(at)}/v2/${name}/blobs/${blob.digest}`
        return (await get(url, { method })).status
      }),
    )
  for (const method of ['HEAD', 'GET'] as const)
    assert.deepEqual(await statusesAt(2, method), [404, 404, 404], method)
  await createPusher(urlAt(0)).image(name, '1', image)
  for (const method of ['HEAD', 'GET'] as const)
    assert.deepEqual(await statusesAt(2, method), [200, 200, 200], method)
})

test('an answer of the upstream from before a change at another replica is not kept', async () => {
  const name = nameOwnedBy(0, 'slow/race')
  const below = name.replace('slow/', '')
  const [old, next] = [makeImage(), makeImage()]
  slow.put(below, '1', next)
  const gate = Promise.withResolvers<void>()
  const headers = { 'content-type': old.mediaType, 'docker-content-digest': old.digest }
  slow.on(
    `GET /v2/${below}/manifests/1`,
    ({ reply }) => gate.promise.then(() => reply(200, headers, old.bytes)),
    1,
  )
  const pulling = digestAt(0, name)
  await eventually('the upstream is asked', () => slow.count(`/v2/${below}/`) === 1)
  const method = 'PUT'
  const target = `/changed/${name}?tag=1`
  const secrets = await readFile(group.secretFile, 'utf8')
  const authorization = createSignatures(secrets, Date.now).sign({ method, target, writer: '' })
  const told = await fetch(group.urlOf(0) + target, { method, headers: { authorization } })
  assert.equal(told.status, 204)
  gate.resolve()
  assert.equal(await pulling, old.digest)
  assert.equal(await digestAt(0, name), next.digest)
})
