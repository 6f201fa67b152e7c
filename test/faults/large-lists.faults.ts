import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { removeBerth, startBerth } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { ownDirectory } from '../support/directory.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'
import { until } from '../support/until.ts'
import { writeVolume } from '../support/volume.ts'

const tagCount = 10_000
const repositoryCount = 1000

test('10,000 tags and 1,000 repositories are listed completely and sorted, with and without the index', async (t) => {
  const root = join(await ownDirectory(t), 'hosted')
  const image = makeImage({ layers: [randomBlob(10)] })
  await writeVolume(root, 'local/tags', 'v0', image)
  const repositories = join(root, 'docker/registry/v2/repositories/local')
  const digest = image.digest.replace(':', '/')
  const tags = Array.from({ length: tagCount }, (_, at) => `v${at}`)
  for (const tag of tags) await putLink(join(repositories, 'tags/_manifests/tags', tag, 'current'))
  const names = Array.from({ length: repositoryCount }, (_, at) => `team${at % 30}/app${at}`)
  for (const name of names) await putLink(join(repositories, name, '_manifests/revisions', digest))

  async function putLink(directory: string): Promise<void> {
    await mkdir(directory, { recursive: true })
    await writeFile(join(directory, 'link'), image.digest)
  }

  const berth = await startBerth({
    config: {
      upstreams: [],
      auth: { access: [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push'] }] },
      storage: { hosted: { directory: root } },
    },
  })
  t.after(() => removeBerth(berth))
  const list = async (path: string): Promise<Readonly<Record<string, unknown>>> => {
    const start = performance.now()
    const { status, body } = await get(`${berth.url}/v2/${path}`)
    assert.equal(status, 200)
    t.diagnostic(`${path}: ${Math.round(performance.now() - start)} ms`)
    return JSON.parse(body.toString())
  }
  const allNames = [...names.map((name) => `local/${name}`), 'local/tags'].toSorted()
  const check = async () => {
    assert.deepEqual((await list('local/tags/tags/list'))['tags'], tags.toSorted())
    assert.deepEqual((await list('_catalog'))['repositories'], allNames)
    assert.deepEqual((await list('_catalog?n=3'))['repositories'], allNames.slice(0, 3))
    const page = await list('local/tags/tags/list?n=3&last=v9998')
    assert.deepEqual(page['tags'], tags.toSorted().slice(-1))
  }
  await check()
  await until('the index is complete', async () =>
    assert.doesNotMatch((await get(`${berth.admin}/readyz`)).body.toString(), /index of hosted/),
  )
  await check()
  await check()
  await createPushClient(berth.url).push('local/new', makeImage(), 'v1')
  assert.ok(((await list('_catalog'))['repositories'] as unknown[]).includes('local/new'))
})
