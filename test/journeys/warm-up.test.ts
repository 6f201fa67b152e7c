import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { get } from '../support/client.ts'
import { type Image, makeImage, makeIndex, randomBlob } from '../support/images.ts'
import { pullBlob } from '../support/pull.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'
import { startWorkloadsApi } from '../support/workloads-api.ts'

const host = 'registry.test'
const upstream = await useUpstream()
const api = await startWorkloadsApi(['linux/arm64', 'linux/amd64', 'linux/arm64'])
after(api.close)
const berth = useBerth({ shared: true })
before(() =>
  berth.start({
    config: {
      upstreams: [
        { url: upstream.url, except: ['secret/**'] },
        { prefix: 'docker.io', url: upstream.url },
      ],
      inUse: {
        kubernetes: true,
        hosts: [host],
        warmUp: {
          ...{ enabled: true, repositories: ['**'], namespaces: ['team-*'] },
          ...{ mirrored: ['docker.io'], maxSize: 1_000_000 },
        },
      },
    },
    environment: api.environment,
  }),
)

/** An image at the upstream. */
function put(name: string, image: Image = makeImage()): Image {
  upstream.put(name, '1', image)
  return image
}

const ended = async () => {
  const sums = ['stored', 'failed'].map((result) =>
    berth.metric(`berth_warm_up_images_total{result="${result}"}`),
  )
  const [stored = 0, failed = 0] = await Promise.all(sums)
  return stored + failed
}

/** Deploys with no replicas, and waits until one more image was downloaded, or failed. */
async function deploy(name: string, image: string, namespace = 'team-a', policy = 'Always') {
  const before = await ended()
  api.deploy(name, namespace, { name: 'c', image, imagePullPolicy: policy })
  await eventually(`${image} has ended`, async () => (await ended()) > before)
}

test('an image that a Deployment names is cached for the platforms of the nodes; a pull then asks the upstream nothing', async () => {
  const children = [makeImage(), makeImage(), makeImage()]
  put('team/multi', makeIndex(children))
  await deploy('multi', `${host}/team/multi:1`)
  const before = upstream.requests.length
  assert.equal((await get(`${berth.url}/v2/team/multi/manifests/1`)).status, 200)
  for (const child of children.slice(0, 2)) {
    const path = `${berth.url}/v2/team/multi/manifests/${child.digest}`
    assert.equal((await get(path)).status, 200)
    for (const blob of child.blobs) assert.equal(await pullBlob(berth, 'team/multi', blob), 'hit')
  }
  assert.equal(upstream.requests.length, before)
  assert.equal(upstream.count(`${children[2]?.digest}`), 0, 'the platform of no node was fetched')
  const [stored] = berth.logs().filter(({ msg }) => /that a workload names$/.test(`${msg}`))
  assert.equal(stored?.['repository'], 'team/multi')
})

test('an image is found by its digest, and by the name that nodes use with a mirror', async () => {
  const image = put('team/by-digest')
  await deploy('by-digest', `${host}/team/by-digest:2@${image.digest}`)
  assert.equal(upstream.count('team/by-digest/manifests/2'), 0)
  const mirrored = put('library/box')
  await deploy('mirrored', 'box:1')
  for (const blob of mirrored.blobs)
    assert.equal(await pullBlob(berth, 'docker.io/library/box', blob), 'hit')
})

test('what is not wanted is not asked for: other namespaces, hosts and repositories, and images that are never pulled', async () => {
  const refused = [
    ['ours', `${host}/team/refused:1`],
    ['team-a', 'elsewhere.test/team/refused:1'],
    ['team-a', `${host}/secret/refused:1`],
    ['team-a', `${host}/local/refused:1`],
    ['team-a', `${host}/team/refused-never:1`, 'Never'],
  ] as const
  for (const [at, [namespace, image, imagePullPolicy]] of refused.entries())
    api.deploy(`refused-${at}`, namespace, { name: 'c', image, imagePullPolicy })
  put('team/wanted')
  await deploy('wanted', `${host}/team/wanted:1`)
  assert.equal(upstream.count('refused'), 0)
})

test('an image that does not exist, or is too large, is reported once and not downloaded', async () => {
  await deploy('missing', `${host}/team/missing:1`)
  const asked = upstream.count('team/missing')
  const large = put('team/large', makeImage({ layers: [randomBlob(1_100_000)] }))
  await deploy('large', `${host}/team/large:1`)
  // Both images have the same configuration.
  for (const { digest } of large.blobs.slice(1)) assert.equal(upstream.count(`blobs/${digest}`), 0)
  put('team/after')
  await deploy('after', `${host}/team/after:1`)
  assert.equal(upstream.count('team/missing'), asked)
  const warnings = berth.logs().filter(({ msg }) => /^cannot download an image/.test(`${msg}`))
  assert.deepEqual(
    warnings.map(({ repository }) => repository),
    ['team/missing', 'team/large'],
  )
})
