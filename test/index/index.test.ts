import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { makeImage, makeIndex, randomBlob } from '../support/images.ts'
import { newRoot, untilVerified, useIndex } from './use-index.ts'
import { createVolume } from './volume.ts'

const app = parseRepositoryName('p/app')

test('a change is in the answers to all later questions', async (t) => {
  const volume = createVolume()
  const { index } = useIndex(t, { root: await newRoot(), source: volume.source })
  await untilVerified(index)
  const image = makeImage()
  index.apply(volume.pushImage('p/app', image, 1000, '1.0'))
  assert.deepEqual((await index.repositories({})).entries, ['p/app'])
  assert.deepEqual((await index.tags(app, {})).entries, ['1.0'])
  const [layer] = image.blobs
  assert.ok(layer)
  assert.deepEqual(await index.referencedBy(layer.digest), [{ name: app, manifest: image.digest }])
  assert.deepEqual(await index.tagsOf(app, image.digest), ['1.0'])
  assert.deepEqual(await index.tagsOf(parseRepositoryName('p/other'), image.digest), [])
  assert.deepEqual(await index.linkedIn(layer.digest), [app])
  assert.deepEqual(await index.unreferenced(undefined, 10), [])
})

test('what is on the volume before the start is found in the background', async (t) => {
  const volume = createVolume()
  const image = makeIndex([makeImage(), makeImage()])
  volume.pushImage('p/app', image, 1000, 'latest')
  const abandoned = randomBlob(10)
  volume.pushBlob('p/other', abandoned, 1000)
  const { index } = useIndex(t, { root: await newRoot(), source: volume.source })
  await untilVerified(index)
  assert.deepEqual(await index.totals(), {
    blobs: volume.stored.size,
    bytes: [...volume.stored.values()].reduce((sum, { bytes }) => sum + bytes.length, 0),
    manifests: 3,
    tags: 1,
    repositories: 1,
  })
  const names = [parseRepositoryName('p/other')]
  assert.deepEqual(await index.unreferenced(undefined, 10), [
    { digest: abandoned.digest, size: 10, names },
  ])
})
