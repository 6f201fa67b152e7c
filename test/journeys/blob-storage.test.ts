import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { get } from '../support/client.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { getBlob, pullImage } from '../support/pull.ts'
import { type Answering, startScriptedUpstream } from '../support/scripted-upstream.ts'
import { until } from '../support/until.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

/** A registry that is well, and redirects all blobs to a storage that is not: no image can be pulled. */
const upstream = await useUpstream()
const storage = await startScriptedUpstream()
after(storage.close)
const berth = useBerth({
  config: { upstreams: [{ url: upstream.url, redirects: [storage.url], tags: { ttl: '1ms' } }] },
})

beforeEach(() => storage.behave())

const readiness = async () => (await get(`${berth.admin}/readyz`)).body.toString()
const answering =
  (status: number): Answering =>
  ({ reply }) =>
    reply(status, {}, '<Error><Code>AccessDenied</Code></Error>')

const troubles: Readonly<Record<string, Answering | 'down'>> = {
  'is down': 'down',
  'denies access': answering(403),
  'has lost its objects': answering(404),
  fails: answering(503),
}
for (const [what, answer] of Object.entries(troubles))
  test(`a storage of blobs that ${what} is a problem of the upstream until it is well, although manifests come`, async () => {
    if (answer === 'down') await storage.stop()
    else storage.on('/objects/', answer)
    upstream.on('/blobs/', ({ path, reply }) =>
      reply(307, { location: `${storage.url}/objects/${path.slice(-64)}` }),
    )
    for (let at = 0; at < 6; at += 1) {
      const image = makeImage({ layers: [randomBlob(1000)] })
      upstream.put(`p/r${at}`, 'v1', image)
      assert.equal((await get(`${berth.url}/v2/p/r${at}/manifests/v1`)).status, 200)
      for (const blob of image.blobs.slice(0, 1))
        assert.ok((await getBlob(berth, `p/r${at}`, blob)).status >= 500)
    }
    const host = new URL(storage.url).host.replaceAll('.', '\\.')
    assert.match(await readiness(), new RegExp(`\\d requests in a row failed: [^"]*${host}`))
    if (answer === 'down') await storage.start()
    upstream.behave()
    const image = makeImage()
    upstream.put('p/r', 'v1', image)
    await until('an image is pulled', () => pullImage(berth, 'p/r', image, 'v1'))
    assert.doesNotMatch(await readiness(), /in a row failed/)
  })
