import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ownDirectory } from '../support/directory.ts'
import { run, startIsolated, tool } from '../support/programs.ts'
import { pusher, setPushScene } from '../support/push-scene.ts'
import { servedImage } from '../support/served-image.ts'

/** A BuildKit of a test's own, with nothing in its cache. It builds what needs no container. */
async function startBuildkit(t: TestContext, host: string) {
  const directory = await ownDirectory(t)
  const config = join(directory, 'buildkitd.toml')
  await writeFile(config, `[registry."${host}"]\n  http = true\n`)
  const address = `unix://${join(directory, 'buildkitd.sock')}`
  const worker = ['--oci-worker=true', '--oci-worker-snapshotter=native', '--oci-worker-net=host']
  const places = ['--config', config, '--root', join(directory, 'root'), '--addr', address]
  const environment = { HOME: directory }
  const daemon = startIsolated(
    [tool('buildkitd'), ...places, '--containerd-worker=false', ...worker],
    { directory, environment },
  )
  t.after(daemon.kill)
  await daemon.wrote(/running server on/)
  const auth = Buffer.from(`${pusher.user}:${pusher.password}`).toString('base64')
  await writeFile(join(directory, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }))
  return (context: string, ...words: readonly string[]) =>
    run(
      [
        ...[tool('buildctl'), '--addr', address, 'build', '--progress', 'plain'],
        ...['--frontend', 'dockerfile.v0', '--local', `context=${context}`],
        ...['--local', `dockerfile=${context}`, ...words],
      ],
      { environment: { ...environment, DOCKER_CONFIG: directory } },
    )
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
    const first = await startBuildkit(t, host)
    await first(context, ...output, '--export-cache', `${cache},mode=max${asImage}`)
    const place = { host, name: 'local/built', login: pusher }
    const pushed = await servedImage(place, 'v1')

    const before = await scene.berth.metric('berth_upload_bytes_total')
    const second = await startBuildkit(t, host)
    await second(context, ...output, '--import-cache', cache)
    const sent = (await scene.berth.metric('berth_upload_bytes_total')) - before
    assert.ok(sent < 100_000, `${sent} bytes: its layers were built again`)
    const again = await servedImage(place, 'v1')
    const layersOf = ({ blobs }: typeof again) => blobs.slice(1).map(({ digest }) => digest)
    const [child = pushed] = pushed.children
    const [childAgain = again] = again.children
    assert.deepEqual(layersOf(childAgain), layersOf(child))
  })
