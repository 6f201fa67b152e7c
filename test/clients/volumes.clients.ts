import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ownDirectory } from '../support/directory.ts'
import {
  collectByDistribution,
  type DockerRegistry,
  startDockerRegistry,
} from '../support/docker-registry.ts'
import type { Image } from '../support/images.ts'
import { makeLayer, makeLayeredImage } from '../support/layered-images.ts'
import { writeLayout } from '../support/oci-layout.ts'
import { run, tool } from '../support/programs.ts'
import { pusher, setPushScene } from '../support/push-scene.ts'
import { docker } from '../support/pushers.ts'
import type { Push } from '../support/pushing.ts'
import { servedImage } from '../support/served-image.ts'
import { volumePath } from '../support/volume.ts'

const distributions = [
  { version: '2.8', program: 'docker-registry' },
  { version: '3.1', program: tool('registry3') },
] as const

type Docker = Pick<Push, 'host' | 'name' | 'login'> & { readonly image: Image }

/** Pushes an image by a docker of its own. */
async function pushByDocker(t: TestContext, { image, ...push }: Docker): Promise<void> {
  const directory = await ownDirectory(t)
  const layout = join(directory, 'layout')
  await writeLayout(layout, 'image', image)
  await docker.push({ ...push, layout, tag: 'image', directory })
}

/** Berth with a volume that is served under the names that it has. */
async function startBerth(t: TestContext, volume: string) {
  const scene = await setPushScene({ hosted: [], storage: { hosted: { directory: volume } } })
  let isOpen = true
  const close = async () => {
    if (isOpen) await scene.close()
    isOpen = false
  }
  t.after(close)
  return { berth: scene.berth, host: scene.berth.host, close }
}

async function checkServed(
  registry: DockerRegistry,
  wanted: Readonly<Record<string, Image>>,
): Promise<void> {
  for (const [reference, { digest }] of Object.entries(wanted)) {
    const [name = '', tag = ''] = reference.split(':')
    const place = { host: new URL(registry.url).host, name, login: registry.login }
    assert.equal((await servedImage(place, tag)).digest, digest, reference)
  }
}

for (const { version, program } of distributions)
  test(`a volume of Distribution ${version} is served and pushed to, and Distribution serves and collects it afterwards`, async (t) => {
    const first = await startDockerRegistry({ program })
    t.after(first.close)
    const [shared, one, two] = await Promise.all([
      makeLayer('shared', 3_000_000),
      makeLayer('one', 100_000),
      makeLayer('two', 100_000),
    ])
    const old = makeLayeredImage({ layers: [shared, one] })
    const host = new URL(first.url).host
    await pushByDocker(t, { host, name: 'team/app:old', login: first.login, image: old })
    const oldThere = await servedImage({ host, name: 'team/app', login: first.login }, 'old')
    await first.stop()

    const berth = await startBerth(t, first.volume)
    const served = (name: string, tag: string) =>
      servedImage({ host: berth.host, name, login: pusher }, tag)
    assert.equal((await served('team/app', 'old')).digest, oldThere.digest)
    const fresh = makeLayeredImage({ layers: [shared, two] })
    await pushByDocker(t, {
      ...{ host: berth.host, name: 'team/app:new', login: pusher, image: fresh },
    })
    const copy = [tool('crane'), 'copy', '--insecure']
    const environment = await craneLogin(t, berth.host)
    const app = `${berth.host}/team/app`
    await run([...copy, `${app}:old`, `${berth.host}/team/copy:v1`], { environment })
    await run([...copy, `${app}:new`, `${app}:gone`], { environment })
    await run([tool('crane'), 'delete', '--insecure', `${app}:gone`], { environment })
    const wanted = {
      'team/app:old': oldThere,
      'team/app:new': await served('team/app', 'new'),
      'team/copy:v1': oldThere,
    }
    await berth.close()

    for (const other of distributions) {
      const again = await startDockerRegistry({ program: other.program, volume: first.volume })
      await checkServed(again, wanted)
      await again.stop()
      const said = await collectByDistribution(other.program, first.volume)
      assert.match(said, /team\/app/)
    }
    const last = await startBerth(t, first.volume)
    for (const [reference, { digest }] of Object.entries(wanted)) {
      const [name = '', tag = ''] = reference.split(':')
      const place = { host: last.host, name, login: pusher }
      assert.equal((await servedImage(place, tag)).digest, digest, reference)
    }
    await last.close()
  })

test('what Berth deleted is deleted for Distribution, whose collection frees it', async (t) => {
  const directory = await ownDirectory(t)
  const volume = join(directory, 'volume')
  await mkdir(volume)
  const berth = await startBerth(t, volume)
  const environment = await craneLogin(t, berth.host)
  const image = makeLayeredImage({ layers: [await makeLayer('one', 200_000)] })
  await writeLayout(join(directory, 'layout'), 'image', image)
  const name = `${berth.host}/team/app`
  await run([tool('crane'), 'push', join(directory, 'layout'), `${name}:v1`], { environment })
  await run([tool('crane'), 'delete', `${name}@${image.digest}`], { environment })
  await berth.close()
  await collectByDistribution('docker-registry', volume)
  for (const { digest } of image.blobs) assert.equal(existsSync(volumePath(volume, digest)), false)
  const registry = await startDockerRegistry({ volume })
  t.after(registry.close)
  const basic = Buffer.from(`${registry.login.user}:${registry.login.password}`).toString('base64')
  const headers = { authorization: `Basic ${basic}` }
  for (const reference of ['v1', image.digest]) {
    const url = `${registry.url}/v2/team/app/manifests/${reference}`
    assert.equal((await fetch(url, { headers })).status, 404, reference)
  }
})

async function craneLogin(t: TestContext, host: string): Promise<Readonly<Record<string, string>>> {
  const directory = await ownDirectory(t)
  const environment = { HOME: directory, DOCKER_CONFIG: directory }
  await run([tool('crane'), 'auth', 'login', host, '-u', pusher.user, '-p', pusher.password], {
    environment,
  })
  return environment
}
