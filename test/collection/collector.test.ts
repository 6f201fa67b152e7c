import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import type { Step } from '../../src/collection/collection.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { createRunId } from '../../src/store/store.ts'
import { pushBlob, pushImage, putManifest } from '../support/hosted-registry.ts'
import { blobOf, makeImage, makeIndex, manifestOf, randomBlob } from '../support/images.ts'
import { useFuture } from './future.ts'
import { hour, minute, openScene } from './scene.ts'

const small = () => makeImage({ layers: [randomBlob(100)], architecture: String(Math.random()) })

function removed(steps: readonly Step[]): readonly Digest[] {
  return steps.flatMap((step) => (step.step === 'remove' ? step.digest : []))
}

function endOf(steps: readonly Step[]) {
  const last = steps.at(-1)
  assert.ok(last?.step === 'end')
  return last
}

/** A scene whose leases of the start are over. */
async function settled(t: TestContext, options: Parameters<typeof openScene>[1] = {}) {
  const future = useFuture(t)
  const scene = await openScene(t, options)
  future.advance(hour)
  return { scene, future }
}

test('the undo of a run that the trash does not have fails', async (t) => {
  const { scene } = await settled(t)
  const end = endOf(await scene.undo(createRunId(0)))
  assert.equal(end.outcome, 'failed')
  assert.match(end.reason ?? '', /the trash has no run 19700101T000000Z-/)
})

suite('a blob that no manifest references', () => {
  test('is removed after its grace period, and not before (H130)', async (t) => {
    const { scene, future } = await settled(t)
    const blob = randomBlob(100)
    await pushBlob(scene.open('local/a'), blob)
    assert.deepEqual(removed(await scene.collect()), [])
    future.advance(hour - minute)
    assert.deepEqual(removed(await scene.collect()), [])
    future.advance(2 * minute)
    assert.deepEqual(removed(await scene.collect()), [blob.digest])
    assert.equal(await scene.store.blobs.isStored(blob.digest), false)
  })

  test('has its grace period from when the last manifest that needed it was deleted', async (t) => {
    const { scene, future } = await settled(t)
    const image = small()
    const repository = scene.open('local/a')
    await pushImage(repository, image, 'v1')
    future.advance(10 * hour)
    await repository.deleteManifest(image.digest)
    assert.deepEqual(removed(await scene.collect()), [])
    future.advance(hour - minute)
    assert.deepEqual(removed(await scene.collect()), [])
    future.advance(2 * minute)
    assert.equal(removed(await scene.collect()).length, 3)
  })

  test('stays while clients ask for it', async (t) => {
    const { scene, future } = await settled(t)
    const blob = randomBlob(100)
    const repository = scene.open('local/a')
    await pushBlob(repository, blob)
    for (let at = 0; at < 4; at += 1) {
      await scene.collect()
      future.advance(50 * minute)
      assert.ok(await repository.statBlob(blob.digest))
    }
    assert.deepEqual(removed(await scene.collect()), [])
  })

  test('comes back with the next request for it', async (t) => {
    const { scene, future } = await settled(t)
    const image = small()
    const repository = scene.open('local/a')
    for (const blob of image.blobs) await pushBlob(repository, blob)
    await scene.collect()
    future.advance(2 * hour)
    assert.equal(removed(await scene.collect()).length, 2)
    await putManifest(repository, image, ['v1'])
    for (const { digest } of image.blobs) assert.ok(await scene.store.blobs.isStored(digest))
    future.advance(100 * hour)
    await scene.collect()
    future.advance(100 * hour)
    assert.deepEqual(removed(await scene.collect()), [])
  })

  test('is unknown once it is deleted from the trash, and can be pushed again', async (t) => {
    const { scene, future } = await settled(t)
    const blob = randomBlob(100)
    const repository = scene.open('local/a')
    await pushBlob(repository, blob)
    await scene.collect()
    future.advance(2 * hour)
    await scene.collect()
    future.advance(5 * hour)
    const steps = await scene.collect()
    assert.ok(steps.some(({ step }) => step === 'free'))
    assert.deepEqual(await scene.collector.runs(), [])
    assert.equal(await repository.statBlob(blob.digest), undefined)
    await pushBlob(repository, blob)
    assert.ok(await repository.statBlob(blob.digest))
  })

  test('keeps its links if it was stored again while its old copy was in the trash', async (t) => {
    const { scene, future } = await settled(t)
    const blob = randomBlob(100)
    const repository = scene.open('local/a')
    await pushBlob(repository, blob)
    await scene.collect()
    future.advance(2 * hour)
    await scene.collect()
    future.advance(4 * hour)
    await pushBlob(repository, blob)
    await scene.collect()
    assert.ok(await repository.statBlob(blob.digest))
  })
})

suite('a client that needs a blob after the collector has looked', () => {
  const prepare = async (t: TestContext) => {
    const { scene, future } = await settled(t)
    const image = small()
    const repository = scene.open('local/a')
    for (const blob of image.blobs) await pushBlob(repository, blob)
    await scene.collect()
    future.advance(2 * hour)
    return { scene, image, repository }
  }

  test('finds it after its manifest was accepted', async (t) => {
    const { scene, image, repository } = await prepare(t)
    scene.barrier.afterLook = () => putManifest(repository, image, ['v1']).then(() => {})
    const steps = await scene.collect()
    assert.deepEqual(removed(steps), [])
    for (const { digest } of image.blobs) assert.ok(await scene.store.blobs.isStored(digest))
  })

  test('finds it after it was told that it exists', async (t) => {
    const { scene, image, repository } = await prepare(t)
    scene.barrier.afterLook = async () => {
      for (const { digest } of image.blobs) assert.ok(await repository.statBlob(digest))
    }
    assert.deepEqual(removed(await scene.collect()), [])
    for (const { digest } of image.blobs) assert.ok(await scene.store.blobs.isStored(digest))
  })

  test('finds its link, which was removed because the repository did not need it', async (t) => {
    const { scene, future } = await settled(t)
    const image = small()
    await pushImage(scene.open('local/a'), image, 'v1')
    const repository = scene.open('local/b')
    for (const blob of image.blobs) await pushBlob(repository, blob)
    await scene.collect()
    future.advance(2 * hour)
    scene.barrier.afterLook = () => putManifest(repository, image, ['v1']).then(() => {})
    await scene.collect()
    const name = parseRepositoryName('local/b')
    for (const { digest } of image.blobs) assert.ok(await scene.store.links.hasBlob(name, digest))
  })
})

suite('a collection', () => {
  test('removes what a deleted image leaves, and its undo brings the image back', async (t) => {
    const { scene, future } = await settled(t)
    const [image, other] = [small(), small()]
    const repository = scene.open('local/a')
    await pushImage(repository, image, 'v1')
    await pushImage(repository, other, 'v2')
    await repository.deleteManifest(image.digest)
    await scene.collect()
    future.advance(2 * hour)
    assert.equal(removed(await scene.collect()).length, 3)
    // The run of the collection, then that of the client's deletion.
    const runs = await scene.collector.runs()
    assert.equal(runs.length, 2)
    const deletion = runs.at(-1)
    assert.ok(deletion)
    assert.equal(endOf(await scene.undo(deletion.run)).outcome, 'done')
    for (const { digest } of [image, ...image.blobs])
      assert.ok(await scene.store.blobs.isStored(digest))
    assert.ok(await repository.manifest({ digest: image.digest }))
    future.advance(100 * hour)
    await scene.collect()
    future.advance(100 * hour)
    assert.deepEqual(removed(await scene.collect()), [])
  })

  test('keeps nested indexes, referrers and what they lead to (H134)', async (t) => {
    const { scene, future } = await settled(t)
    const repository = scene.open('local/a')
    const wide = blobOf(Buffer.from('wide'), 'sha512')
    const inner = makeIndex([small(), makeImage({ layers: [wide] })])
    const outer = makeIndex([inner])
    const subject = { mediaType: outer.mediaType, digest: outer.digest, size: outer.bytes.length }
    const signature = makeImage({ layers: [randomBlob(50)], extra: { subject } })
    await pushImage(repository, outer, 'all')
    await pushImage(repository, signature)
    await scene.collect()
    future.advance(100 * hour)
    assert.deepEqual(removed(await scene.collect()), [])
    assert.equal((await repository.referrers(outer.digest)).descriptors.length, 1)
  })

  test('removes nothing while it is not known what is in use', async (t) => {
    const { scene, future } = await settled(t)
    await pushBlob(scene.open('local/a'), randomBlob(100))
    await scene.collect()
    future.advance(2 * hour)
    scene.inUse.known = false
    assert.deepEqual(endOf(await scene.collect()), {
      step: 'end',
      outcome: 'waiting',
      reason: 'no watch',
    })
    scene.inUse.known = true
    assert.equal(removed(await scene.collect()).length, 1)
  })

  test('removes nothing while the index is incomplete (H133)', async (t) => {
    const { scene, future } = await settled(t)
    await pushBlob(scene.open('local/a'), randomBlob(100))
    await scene.collect()
    future.advance(2 * hour)
    scene.says.problem = 'rebuilding'
    assert.equal(endOf(await scene.collect()).outcome, 'waiting')
    delete scene.says.problem
    scene.says.unverified = 'just started'
    assert.equal(endOf(await scene.collect()).outcome, 'waiting')
  })

  test('removes nothing from a volume that is not the one it was', async (t) => {
    const { scene, future } = await settled(t)
    await pushBlob(scene.open('local/a'), randomBlob(100))
    await scene.collect()
    future.advance(2 * hour)
    const mark = join(scene.root, '_berth', 'volume')
    await writeFile(mark, 'another')
    assert.match(endOf(await scene.collect()).reason ?? '', /the volume was replaced/)
    await rm(mark)
    assert.match(endOf(await scene.collect()).reason ?? '', /may have been unmounted/)
  })

  test('keeps what a workload uses, although its manifest was deleted', async (t) => {
    const { scene, future } = await settled(t)
    const image = small()
    const repository = scene.open('local/a')
    await pushImage(repository, image, 'v1')
    await repository.deleteManifest(image.digest)
    scene.inUse.digests.add(image.digest)
    await scene.collect()
    future.advance(2 * hour)
    assert.deepEqual(removed(await scene.collect()), [])
    scene.inUse.digests.clear()
    assert.equal(removed(await scene.collect()).length, 3)
  })

  test('keeps what a workload names by a tag that was deleted', async (t) => {
    const { scene, future } = await settled(t)
    const image = small()
    const repository = scene.open('local/a')
    await pushImage(repository, image, 'v1')
    await repository.deleteManifest(image.digest)
    scene.inUse.tags.add('local/a:v1')
    await scene.collect()
    future.advance(2 * hour)
    assert.deepEqual(removed(await scene.collect()), [])
  })

  test('that would remove more than a fifth waits for a confirmation', async (t) => {
    const { scene, future } = await settled(t)
    const repository = scene.open('local/a')
    for (let at = 0; at < 15; at += 1) await pushImage(repository, small(), `v${at}`)
    for (let at = 0; at < 15; at += 1) await pushBlob(repository, randomBlob(100))
    await scene.collect()
    future.advance(2 * hour)
    // The alert needs the zero before the first one.
    assert.match(await scene.runs(), /"collection",outcome="confirm"\} 0$/m)
    const steps = await scene.collect()
    assert.deepEqual(removed(steps), [])
    assert.equal(endOf(steps).outcome, 'confirm')
    const asked = steps.find((step) => step.step === 'confirm')
    assert.ok(asked)
    assert.equal(asked.remove, 15)
    assert.equal(asked.of, 60)
    // The same plan has the same name.
    const again = (await scene.collect()).find((step) => step.step === 'confirm')
    assert.equal(again?.run, asked.run)
    assert.match(await scene.runs(), /"collection",outcome="confirm"\} 2$/m)
    assert.equal(removed(await scene.collect({ confirm: asked.run })).length, 15)
    assert.equal(endOf(await scene.collect()).outcome, 'done')
  })

  test('only says what it would do in a dry run', async (t) => {
    const { scene, future } = await settled(t)
    const blob = randomBlob(100)
    await pushBlob(scene.open('local/a'), blob)
    await scene.collect()
    future.advance(2 * hour)
    const steps = await scene.collect({ dryRun: true })
    assert.ok(steps.some((step) => step.step === 'would-remove' && step.digest === blob.digest))
    assert.ok(await scene.store.blobs.isStored(blob.digest))
  })

  test('of everything says what the index does not know, and what is missing', async (t) => {
    const { scene } = await settled(t)
    const repository = scene.open('local/a')
    const image = small()
    await pushImage(repository, image, 'v1')
    const unknown = randomBlob(100)
    await scene.store.blobs.put(unknown.digest, unknown.bytes)
    const [config] = image.blobs
    assert.ok(config)
    const hex = config.digest.slice(7)
    await rm(join(scene.root, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex), {
      recursive: true,
    })
    const steps = await scene.collect({ full: true })
    assert.ok(steps.some((step) => step.step === 'missed' && step.digest === unknown.digest))
    assert.ok(
      steps.some(
        (step) =>
          step.step === 'absent' && step.digest === config.digest && step.manifest === image.digest,
      ),
    )
  })

  test('removes links that no manifest of the repository needs, and no others', async (t) => {
    const { scene, future } = await settled(t)
    const image = small()
    const [a, b] = [scene.open('local/a'), scene.open('local/b')]
    await pushImage(a, image, 'v1')
    const layer = image.blobs.at(-1)
    assert.ok(layer)
    const from = parseRepositoryName('local/a')
    assert.ok(await b.mount({ digest: layer.digest, from, mayPull: () => true }))
    const lost = randomBlob(10)
    await scene.store.links.addBlob(from, lost.digest)
    scene.index.apply([{ kind: 'link', name: from, digest: lost.digest }])
    await scene.collect()
    future.advance(2 * hour)
    await scene.collect()
    future.advance(2 * hour)
    await scene.collect()
    assert.equal(await b.statBlob(layer.digest), undefined)
    assert.ok(await a.statBlob(layer.digest))
    assert.equal(await scene.store.links.hasBlob(from, lost.digest), false)
  })
})

suite('the trash', () => {
  test('is emptied early when the disk is nearly full, the oldest first', async (t) => {
    const { scene, future } = await settled(t, { minimumFree: Number.MAX_SAFE_INTEGER })
    await pushBlob(scene.open('local/a'), randomBlob(100))
    await scene.collect()
    future.advance(2 * hour)
    const steps = await scene.collect()
    assert.ok(steps.some((step) => step.step === 'free' && step.reason === 'disk-pressure'))
    assert.deepEqual(await scene.collector.runs(), [])
  })

  test('is emptied without the index when the disk is nearly full', async (t) => {
    const { scene, future } = await settled(t)
    const blob = randomBlob(100)
    const repository = scene.open('local/a')
    await pushBlob(repository, blob)
    await scene.collect()
    future.advance(2 * hour)
    await scene.collect()
    assert.equal((await scene.collector.runs()).length, 1)
    await scene.close()
    const full = await openScene(
      t,
      { minimumFree: Number.MAX_SAFE_INTEGER },
      { directory: join(scene.root, '..'), inUse: scene.inUse },
    )
    full.says.problem = 'the disk is full'
    future.advance(2 * hour)
    assert.equal(endOf(await full.collect()).outcome, 'waiting')
    assert.deepEqual(await full.collector.runs(), [])
    assert.equal(await full.open('local/a').statBlob(blob.digest), undefined)
  })
})

test('a deleted tag that a workload names is served until the workload is gone, also after the trash was emptied', async (t) => {
  const { scene, future } = await settled(t)
  const repository = scene.open('local/a')
  const image = small()
  await pushImage(repository, image, 'v1')
  scene.inUse.tags.add('local/a:v1')
  const tag = 'v1' as never
  await repository.deleteTag(tag)
  future.advance(365 * 24 * hour)
  await scene.collect()
  future.advance(365 * 24 * hour)
  await scene.collect()
  assert.equal((await repository.manifest({ tag }))?.digest, image.digest)
  scene.inUse.tags.clear()
  await scene.collect()
  assert.deepEqual(await scene.collector.runs(), [])
  scene.inUse.tags.add('local/a:v1')
  assert.equal(await repository.manifest({ tag }), undefined)
})

suite('tags', () => {
  test('have a history, and their last change can be undone', async (t) => {
    const { scene, future } = await settled(t)
    const repository = scene.open('local/a')
    const [first, second] = [small(), small()]
    await pushImage(repository, first, 'v1')
    future.advance(minute)
    await pushImage(repository, second, 'v1')
    const tag = { name: parseRepositoryName('local/a'), tag: 'v1' as never }
    const history = await scene.collector.tagHistory(tag)
    assert.deepEqual(
      history.map(({ digest, current }) => ({ digest, current })),
      [
        { digest: second.digest, current: true },
        { digest: first.digest, current: false },
      ],
    )
    assert.equal((await scene.collector.undoTag(tag)).kind, 'undone')
    assert.equal((await repository.manifest({ tag: tag.tag }))?.digest, first.digest)
  })

  test('come back after their deletion, with an image from the trash', async (t) => {
    const { scene, future } = await settled(t)
    const repository = scene.open('local/a')
    const image = small()
    await pushImage(repository, image, 'v1')
    await repository.deleteManifest(image.digest)
    await scene.collect()
    future.advance(2 * hour)
    assert.equal(removed(await scene.collect()).length, 3)
    const tag = { name: parseRepositoryName('local/a'), tag: 'v1' as never }
    assert.deepEqual(await scene.collector.undoTag(tag), {
      kind: 'undone',
      from: undefined,
      to: image.digest,
    })
    const answer = await repository.manifest({ tag: tag.tag })
    assert.equal(answer?.digest, image.digest)
    for (const { digest } of image.blobs) assert.ok(await repository.statBlob(digest))
  })

  test('without an earlier version cannot be undone', async (t) => {
    const { scene } = await settled(t)
    await pushImage(scene.open('local/a'), small(), 'v1')
    const tag = { name: parseRepositoryName('local/a'), tag: 'v1' as never }
    assert.equal((await scene.collector.undoTag(tag)).kind, 'no-version')
  })
})

suite('retention', () => {
  const rule = {
    name: 'old',
    action: 'delete',
    repositories: ['**'],
    tags: ['pr-*'],
    olderThan: 24 * hour,
  } as const

  test('deletes what a rule names, and its undo restores it', async (t) => {
    const { scene, future } = await settled(t, { rules: [rule] })
    const repository = scene.open('local/a')
    const index = makeIndex([small(), small()])
    await pushImage(repository, index, 'pr-1')
    await pushImage(repository, small(), 'v1')
    assert.equal(endOf(await scene.retain()).removed, 0)
    future.advance(25 * hour)
    const dry = await scene.retain({ dryRun: true })
    assert.equal(dry.filter(({ step }) => step === 'would-delete').length, 4)
    const steps = await scene.retain()
    assert.equal(endOf(steps).removed, 4)
    assert.equal(await repository.manifest({ digest: index.digest }), undefined)
    assert.deepEqual((await repository.tags({}))?.tags, ['v1'])
    const [run] = await scene.collector.runs()
    assert.ok(run)
    await scene.undo(run.run)
    assert.equal((await repository.manifest({ tag: 'pr-1' as never }))?.digest, index.digest)
    for (const child of index.children)
      assert.ok(await repository.manifest({ digest: child.digest }))
  })

  test('keeps what a workload uses by a tag that was deleted', async (t) => {
    const untagged = { ...rule, name: 'untagged', tags: [], untagged: true }
    const { scene, future } = await settled(t, { rules: [untagged] })
    const repository = scene.open('local/a')
    const image = small()
    await pushImage(repository, image, 'v1')
    await repository.deleteTag('v1' as never)
    scene.inUse.tags.add('local/a:v1')
    future.advance(25 * hour)
    assert.equal(endOf(await scene.retain()).removed, 0)
    assert.equal((await repository.manifest({ tag: 'v1' as never }))?.digest, image.digest)
    scene.inUse.tags.clear()
    future.advance(31 * 24 * hour)
    assert.equal(endOf(await scene.retain()).removed, 1)
  })

  test('explains which rule decides, and when', async (t) => {
    const { scene } = await settled(t, { rules: [rule] })
    const image = manifestOf('application/vnd.oci.image.index.v1+json', { manifests: [] })
    await pushImage(scene.open('local/a'), image, 'pr-1')
    const name = parseRepositoryName('local/a')
    const found = await scene.collector.explain(name, { tag: 'pr-1' as never })
    assert.equal(found?.decision.kind, 'not-yet')
    assert.equal(found?.rules[0]?.rule, 'old')
    assert.equal(await scene.collector.explain(name, { tag: 'pr-2' as never }), undefined)
    const byDigest = await scene.collector.explain(name, { digest: image.digest })
    assert.deepEqual(byDigest?.decision, found?.decision)
    const absent = manifestOf(image.mediaType, { manifests: [], absent: true })
    assert.equal(await scene.collector.explain(name, { digest: absent.digest }), undefined)
  })
})
