import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { startBuildkit } from '../support/buildkit.ts'
import { ownDirectory } from '../support/directory.ts'
import { pusher, setPushScene } from '../support/push-scene.ts'
import { servedImage } from '../support/served-image.ts'

async function buildkitFor(t: TestContext, host: string) {
  const { build, kill } = await startBuildkit(await ownDirectory(t), {
    registry: { host, login: pusher },
  })
  t.after(kill)
  return build
}

/** An index lists blobs of the cache as if they were manifests, an image lists them as layers. */
for (const format of ['as an index', 'as an image'])
  test(`BuildKit pushes an image and its cache, ${format}, and another one builds from it`, async (t) => {
    const scene = await setPushScene()
    t.after(scene.close)
    const { host } = scene.berth
    const context = join(await ownDirectory(t), 'context')
    await mkdir(context)
    await writeFile(join(context, 'data'), randomBytes(1_000_000))
    await writeFile(
      join(context, 'Dockerfile'),
      'FROM scratch\nCOPY data /data\nCOPY data /again\n',
    )
    const image = `${host}/local/built`
    const output = ['--output', `type=image,name=${image}:v1,push=true`]
    const asImage = format === 'as an image' ? ',image-manifest=true' : ',image-manifest=false'
    const cache = `type=registry,ref=${image}:cache`
    const first = await buildkitFor(t, host)
    await first(context, ...output, '--export-cache', `${cache},mode=max${asImage}`)
    const place = { host, name: 'local/built', login: pusher }
    const pushed = await servedImage(place, 'v1')

    const before = await scene.berth.metric('berth_upload_bytes_total')
    const second = await buildkitFor(t, host)
    await second(context, ...output, '--import-cache', cache)
    const sent = (await scene.berth.metric('berth_upload_bytes_total')) - before
    assert.ok(sent < 100_000, `${sent} bytes: its layers were built again`)
    const again = await servedImage(place, 'v1')
    const layersOf = ({ blobs }: typeof again) => blobs.slice(1).map(({ digest }) => digest)
    const [child = pushed] = pushed.children
    const [childAgain = again] = again.children
    assert.deepEqual(layersOf(childAgain), layersOf(child))
  })
