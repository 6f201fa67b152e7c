import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { eventually, removeBerth, startBerth } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { checkVolume, uploadsOnDisk } from '../support/hosted-volume.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { freeBytes, ownFileSystem, remount } from '../support/mounts.ts'
import { codeIn, createPushClient } from '../support/push-client.ts'

const mebibyte = 1024 * 1024

async function start(t: TestContext) {
  const root = await ownFileSystem(t, 'size=8m')
  const berth = await startBerth({
    config: {
      upstreams: [],
      auth: {
        access: [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
      },
      storage: { hosted: { directory: root } },
    },
  })
  t.after(() => removeBerth(berth))
  const client = createPushClient(berth.url)
  const image = makeImage()
  await client.push('local/app', image, 'v1')
  const assertPulled = async () => {
    for (const { digest, bytes } of image.blobs)
      assert.deepEqual((await get(`${berth.url}/v2/local/app/blobs/${digest}`)).body, bytes)
    assert.equal((await get(`${berth.url}/v2/local/app/manifests/v1`)).status, 200)
  }
  return { root, berth, client, image, assertPulled }
}

test('a push that fills the disk is 507, leaves nothing behind, and pulls go on (H136)', async (t) => {
  const { root, client, assertPulled } = await start(t)
  const free = await freeBytes(root)
  const large = randomBlob(free + mebibyte)
  for (let round = 0; round < 3; round += 1) {
    const location = await client.start('local/app')
    const response = await client.send('PATCH', location, { body: Uint8Array.from(large.bytes) })
    assert.equal(response.status, 507)
    const { errors } = (await response.json()) as { errors: { code: string; message: string }[] }
    assert.equal(errors[0]?.code, 'UNAVAILABLE')
    assert.match(errors[0]?.message ?? '', /the disk of the hosted repositories is full/)
    assert.equal((await client.send('GET', location)).status, 404)
    await assertPulled()
  }
  assert.deepEqual(await uploadsOnDisk(root), [])
  assert.ok((await freeBytes(root)) > free - mebibyte)
  await client.push('local/app', makeImage(), 'v2')
  assert.equal((await checkVolume(root)).length, 2)
})

test('a disk without room for a manifest fails its push, and no tag is half set (H136)', async (t) => {
  const { root, client, image, assertPulled } = await start(t)
  const filler = randomBlob((await freeBytes(root)) - mebibyte)
  await client.pushBlob('local/filler', filler)
  const statuses = new Set<number>()
  for (let at = 0; at < 500 && !statuses.has(507); at += 1)
    statuses.add((await client.putManifest('local/app', `v${at + 2}`, image)).status)
  assert.deepEqual(
    [...statuses].filter((status) => status !== 201),
    [507],
  )
  await assertPulled()
  await checkVolume(root)
})

test('a file system that becomes read-only refuses pushes until it can be written again', async (t) => {
  const { root, berth, client, assertPulled } = await start(t)
  remount(root, 'ro')
  const refused = await client.send('POST', 'local/app/blobs/uploads/')
  assert.equal(refused.status, 503)
  assert.equal(await codeIn(refused), 'UNAVAILABLE')
  await assertPulled()
  await eventually('the probe says so', async () =>
    /read-only/.test((await get(`${berth.admin}/readyz`)).body.toString()),
  )
  remount(root, 'rw')
  await eventually('pushes are taken again', async () => {
    return (await client.send('POST', 'local/app/blobs/uploads/')).status === 202
  })
})
