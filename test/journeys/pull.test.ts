import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { makeImage, makeIndex } from '../support/images.ts'
import { pullImage } from '../support/pull.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const upstream = await useUpstream()
const berth = useBerth({ config: { upstreams: [{ url: upstream.url }] } })

test('an image is pulled from the upstream, and the second time from the cache only', async () => {
  const image = makeImage()
  upstream.put('p/r/i', 'v1', image)
  await pullImage(berth, 'p/r/i', image, 'v1')
  const asked = upstream.requests.length
  await pullImage(berth, 'p/r/i', image, 'v1')
  assert.equal(upstream.requests.length, asked)
})

test('an index and its children keep their exact bytes', async () => {
  const index = makeIndex([
    makeImage({ architecture: 'amd64' }),
    makeImage({ architecture: 'arm64' }),
  ])
  upstream.put('p/r/multi', 'v1', index)
  await pullImage(berth, 'p/r/multi', index, 'v1')
})

test('cached images are pulled while the upstream is down, also after a restart', async () => {
  const image = makeImage()
  upstream.put('p/r/down', 'v1', image)
  await pullImage(berth, 'p/r/down', image, 'v1')
  await upstream.stop()
  try {
    await pullImage(berth, 'p/r/down', image, 'v1')
    await berth.restart()
    await pullImage(berth, 'p/r/down', image, image.digest)
    await pullImage(berth, 'p/r/down', image, 'v1')
    const stale = await get(`${berth.url}/v2/p/r/down/manifests/v1`)
    assert.equal(stale.headers['x-cache'], 'stale')
    assert.match(stale.headers['warning'] ?? '', /^299 - "/)
  } finally {
    await upstream.start()
  }
})
