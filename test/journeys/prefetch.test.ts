import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { type Image, makeImage, makeIndex } from '../support/images.ts'
import { pullBlob } from '../support/pull.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const name = 'p/r'
const upstream = await useUpstream()
const berth = useBerth({ config: { upstreams: [{ url: upstream.url, prefetch: true }] } })
let image: Image

beforeEach(() => {
  image = makeImage()
  upstream.put(name, 'v1', image)
})

const urlOf = (reference: string) => `${berth.url}/v2/${name}/manifests/${reference}`
const fetched = () => berth.metric('berth_cache_blobs')

/** The cache has the manifest and all blobs of the image. */
const isWhole = async () => (await fetched()) === 1 + image.blobs.length

test('a pull of a manifest downloads its layers before a client requests them', async () => {
  await get(urlOf('v1'))
  await eventually('all blobs are cached', isWhole)
  for (const blob of image.blobs) assert.equal(await pullBlob(berth, name, blob), 'hit')
})

test('a client that only checks a tag causes no downloads of layers', async () => {
  assert.equal((await get(urlOf('v1'), { method: 'HEAD' })).status, 200)
  const headers = { 'if-none-match': `"${image.digest}"` }
  assert.equal((await get(urlOf('v1'), { headers })).status, 304)
  // Downloads start in order: if the first two had started one, it would precede this image's.
  const other = makeImage()
  upstream.put(name, 'v2', other)
  await get(urlOf('v2'))
  await eventually('the other image is cached', async () => (await fetched()) >= 5)
  // Both images have the same configuration.
  const [, ...layers] = image.blobs
  const requests = upstream.requests.map(({ path }) => path).join(' ')
  assert.ok(layers.every(({ digest }) => !requests.includes(digest)))
})

test('an index downloads nothing: the client selects a manifest from it', async () => {
  const index = makeIndex([image])
  upstream.put(name, 'multi', index)
  await get(urlOf('multi'))
  await get(urlOf(image.digest))
  await eventually('the layers of the selected manifest are cached', async () => {
    return (await fetched()) === 2 + image.blobs.length
  })
})
