import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { createApiClient } from '../support/api-client.ts'
import { get } from '../support/client.ts'
import { blobOf, type Image, makeImage, manifestOf } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'
import { tarFile } from '../support/tar-file.ts'
import { useBerth } from '../support/use-berth.ts'

const files = 3000
const berth = useBerth({
  config: {
    upstreams: [],
    auth: {
      access: [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
    },
  },
})

/** An image with one layer of many files, different for each name. */
function largeImage(name: string): Image {
  const content = Buffer.alloc(1500, name)
  const items = Array.from({ length: files }, (_, at) => ({
    name: `${name}/${at % 200}/${at}`,
    content,
  }))
  const layer = blobOf(gzipSync(tarFile(items), { level: 1 }))
  const config = blobOf(Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux' })))
  const describe = ({ digest, bytes }: typeof layer, mediaType: string) => ({
    mediaType,
    digest,
    size: bytes.length,
  })
  return manifestOf(
    mediaTypes.ociManifest,
    {
      config: describe(config, 'application/vnd.oci.image.config.v1+json'),
      layers: [describe(layer, 'application/vnd.oci.image.layer.v1.tar+gzip')],
    },
    { blobs: [config, layer] },
  )
}

/** Microseconds. */
const total = ({ user, system }: NodeJS.CpuUsage) => user + system

test('a layer is read by another thread, and pulls go on meanwhile', async (t) => {
  const pushed = createPushClient(berth.url)
  const [alone, beside] = [largeImage('alone'), largeImage('beside')]
  const pulled = makeImage()
  await pushed.push('app', alone)
  await pushed.push('app', beside)
  await pushed.push('app', pulled, 'v1')
  const look = (image: Image) =>
    createApiClient(berth).ask('files', { path: { name: 'app', digest: image.digest } })

  const [process0, thread0] = [process.cpuUsage(), process.threadCpuUsage()]
  assert.equal((await look(alone)).totals.files, files)
  const all = total(process.cpuUsage(process0))
  const own = total(process.threadCpuUsage(thread0))
  t.diagnostic(`of ${all / 1000} ms CPU time, the thread that serves pulls took ${own / 1000}`)
  assert.ok(own < all / 2, `${own} of ${all} µs`)

  let isLooking = true
  const looking = look(beside).finally(() => {
    isLooking = false
  })
  let pulls = 0
  while (isLooking) {
    const { status } = await get(`${berth.url}/v2/app/manifests/v1`)
    assert.equal(status, 200)
    pulls += 1
  }
  await looking
  t.diagnostic(`${pulls} pulls`)
  assert.ok(pulls > 3, `${pulls} pulls`)
})
