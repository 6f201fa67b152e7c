import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { get } from '../support/client.ts'
import { blobOf, type Image, makeImage, manifestOf, randomBlob } from '../support/images.ts'
import { pullBlob } from '../support/pull.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const name = 'p/r'
const upstream = await useUpstream()
const berth = useBerth({ config: { upstreams: [{ url: upstream.url }] } })

const pull = (reference: string) => get(`${berth.url}/v2/${name}/manifests/${reference}`)

/** Bytes as they are, under a type that the upstream's Content-Type says. */
function put(tag: string, text: string, mediaType: string): Image {
  const image = { ...blobOf(Buffer.from(text)), mediaType, blobs: [], children: [] }
  upstream.put(name, tag, image)
  return image
}

test('manifests that are odd, and clear, are passed on as they are (issue 10, point 20)', async () => {
  const descriptor = { mediaType: mediaTypes.ociManifest, digest: randomBlob(1).digest, size: 1 }
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [descriptor] }
  const odd = {
    'no-config': JSON.stringify({ ...index, config: null }),
    'no-layers': JSON.stringify({ ...index, layers: [] }),
    marked: `\ufeff${JSON.stringify(index)}`,
  }
  for (const [tag, text] of Object.entries(odd)) {
    const { bytes } = put(tag, text, mediaTypes.ociIndex)
    const reply = await pull(tag)
    assert.deepEqual([reply.status, reply.headers['content-type']], [200, mediaTypes.ociIndex], tag)
    assert.deepEqual(reply.body, bytes)
  }
  const image = JSON.stringify({ schemaVersion: 2, config: descriptor })
  put('bare', image, mediaTypes.ociManifest)
  assert.equal((await pull('bare')).headers['content-type'], mediaTypes.ociManifest)
})

test('a type that only Content-Type tells is passed on, after a restart too (issue 10, point 20)', async () => {
  const type = 'application/vnd.example.thing.v1+json'
  const thing = put('thing', '{"thing":1}', type)
  for (const reference of ['thing', thing.digest])
    assert.equal((await pull(reference)).headers['content-type'], type)
  await berth.restart()
  assert.equal((await pull(thing.digest)).headers['content-type'], type)
})

test('a manifest that lies about the size of a layer does not take it from its repository (issue 10, point 20)', async () => {
  const layer = randomBlob(5000)
  upstream.put(name, 'right', makeImage({ layers: [layer] }))
  const size = layer.bytes.length + 1
  const lie = manifestOf(mediaTypes.ociManifest, {
    config: { mediaType: 'a/b', digest: randomBlob(2).digest, size: 2 },
    layers: [{ mediaType: 'a/b', digest: layer.digest, size }],
  })
  upstream.put(name, 'lie', lie)
  for (const tag of ['right', 'lie']) assert.equal((await pull(tag)).status, 200)
  await pullBlob(berth, name, layer)
})

test('HEAD of a blob whose size nobody says has no length, and not a wrong one (issue 10, point 20)', async () => {
  const blob = randomBlob(3000)
  upstream.putBlob(name, blob)
  upstream.on('HEAD', ({ head, end }) => {
    head(200, { connection: 'close' })
    end()
  })
  const url = `${berth.url}/v2/${name}/blobs/${blob.digest}`
  const { status, headers } = await get(url, { method: 'HEAD' })
  assert.deepEqual([status, headers['content-length']], [200, undefined])
  await pullBlob(berth, name, blob)
  assert.equal((await get(url, { method: 'HEAD' })).headers['content-length'], '3000')
})
