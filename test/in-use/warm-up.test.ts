import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createWarmUp, type WarmImage } from '../../src/in-use/in-use.ts'
import { formatReference } from '../../src/oci/reference.ts'
import { eventually } from '../support/berth.ts'

/** Workloads, and fetches that the test answers. */
function openScene(t: TestContext, { retryDelay = 1 } = {}) {
  const scene = {
    images: [] as string[],
    version: 0,
    asked: [] as string[],
    warnings: 0,
    fetch: async (): Promise<void> => {},
  }
  const warmUp = createWarmUp({
    inUse: {
      toPull: () => scene.images.map((image) => ({ image, namespace: 'default' })),
      version: () => scene.version,
    },
    repositories: ['**'],
    namespaces: ['**'],
    repositoryOf: ({ name }) => name,
    fetch: ({ name, reference }: WarmImage) => {
      scene.asked.push(`${name}:${formatReference(reference)}`)
      return scene.fetch()
    },
    pause: 1,
    recheck: 3_600_000,
    retryDelay,
    log: {
      warn: () => {
        scene.warnings += 1
      },
    },
  })
  t.after(warmUp.close)
  const name = (...images: string[]) => {
    scene.images = images
    scene.version += 1
  }
  return { scene, name, warmUp }
}

test('each image is fetched once, however many workloads name it, and how often they change', async (t) => {
  const { scene, name, warmUp } = openScene(t)
  name('h:1/p/a:1', 'h:1/p/a:1', 'h:1/p/b:1')
  await eventually('both are fetched', () => scene.asked.length === 2 && warmUp.waiting() === 0)
  name('h:1/p/a:1', 'h:1/p/b:1', 'h:1/p/c:1')
  await eventually('the new one is fetched', () => scene.asked.includes('p/c:1'))
  assert.deepEqual(scene.asked.toSorted(), ['p/a:1', 'p/b:1', 'p/c:1'])
})

test('a failure is reported once, and tried again until it succeeds', async (t) => {
  const { scene, name, warmUp } = openScene(t)
  scene.fetch = async () => {
    if (scene.asked.length < 4) throw new Error('unreachable')
  }
  name('h:1/p/a:1')
  await eventually('it is fetched', () => scene.asked.length === 4 && warmUp.waiting() === 0)
  assert.equal(scene.warnings, 1)
})

test('a failed image is not asked for again at once, nor when other workloads change', async (t) => {
  const { scene, name } = openScene(t, { retryDelay: 3_600_000 })
  scene.fetch = async () => {
    throw new Error('not found')
  }
  name('h:1/p/a:1')
  await eventually('it has failed', () => scene.warnings === 1)
  name('h:1/p/a:1', 'h:1/p/b:1')
  await eventually('the other has failed', () => scene.warnings === 2)
  assert.deepEqual(scene.asked, ['p/a:1', 'p/b:1'])
})

test('two are fetched at a time, and what is named later comes before what waits', async (t) => {
  const { scene, name, warmUp } = openScene(t)
  const gate = Promise.withResolvers<void>()
  scene.fetch = () => gate.promise
  name('h:1/p/a:1', 'h:1/p/b:1', 'h:1/p/c:1')
  await eventually('two run', () => scene.asked.length === 2 && warmUp.waiting() === 1)
  name(...scene.images, 'h:1/p/d:1')
  gate.resolve()
  await eventually('all are fetched', () => scene.asked.length === 4)
  assert.equal(scene.asked[2], 'p/d:1')
})
