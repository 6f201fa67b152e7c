import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRepositoryName } from '../../../src/oci/reference.ts'
import { openHostedRegistry, pushBlob } from '../../support/hosted-registry.ts'
import { checkVolume } from '../../support/hosted-volume.ts'
import { randomBlob } from '../../support/images.ts'

const source = parseRepositoryName('local/source')
const yes = () => true
const no = () => false

test('a blob is mounted from a repository that the client may pull from (H135)', async (t) => {
  const { open, root } = await openHostedRegistry(t)
  const { digest, bytes } = randomBlob(100)
  await pushBlob(open(source), { digest, bytes })
  const target = open('local/target')
  assert.equal(await target.mount({ digest, from: source, mayPull: yes }), true)
  assert.deepEqual(await target.statBlob(digest), { size: 100 })
  assert.equal(await target.mount({ digest, from: source, mayPull: yes }), true)
  await checkVolume(root)
})

test('no right at the source, and a blob that is missing there, look the same (H135)', async (t) => {
  const { open } = await openHostedRegistry(t)
  const { digest, bytes } = randomBlob(100)
  await pushBlob(open(source), { digest, bytes })
  const target = open('local/target')
  assert.equal(await target.mount({ digest, from: source, mayPull: no }), false)
  const missing = randomBlob(100).digest
  assert.equal(await target.mount({ digest: missing, from: source, mayPull: yes }), false)
  assert.equal(await target.mount({ digest: missing, mayPull: yes }), false)
  assert.equal(await target.statBlob(digest), undefined)
})

test('access to the source is decided before anything is looked up', async (t) => {
  const { open, store } = await openHostedRegistry(t)
  const { digest, bytes } = randomBlob(100)
  await pushBlob(open(source), { digest, bytes })
  const asked: string[] = []
  const mayPull = (name: string): boolean => {
    asked.push(name)
    return false
  }
  await open('local/target').mount({ digest, from: source, mayPull })
  await open('local/target').mount({ digest, mayPull })
  assert.deepEqual(asked, [source, 'local/target', source])
  assert.equal(store.problem(), undefined)
})

test('a blob is found in any repository while there is no index (H135)', async (t) => {
  const { open } = await openHostedRegistry(t)
  const { digest, bytes } = randomBlob(100)
  await pushBlob(open('local/private'), { digest, bytes })
  const target = open('local/target')
  const mayPull = (name: string): boolean => name !== 'local/private'
  assert.equal(await target.mount({ digest, mayPull }), false)
  await pushBlob(open(source), { digest, bytes })
  assert.equal(await target.mount({ digest, mayPull }), true)
  assert.deepEqual(await target.statBlob(digest), { size: 100 })
})

test('nothing is mounted from a repository on the volume that is not hosted (H137)', async (t) => {
  const { open, store } = await openHostedRegistry(t)
  const { digest, bytes } = randomBlob(100)
  const hidden = parseRepositoryName('elsewhere/app')
  await store.blobs.put(digest, bytes)
  await store.links.addBlob(hidden, digest)
  const target = open('local/target')
  assert.equal(await target.mount({ digest, from: hidden, mayPull: yes }), false)
  assert.equal(await target.mount({ digest, mayPull: yes }), false)
})
