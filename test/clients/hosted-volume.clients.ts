import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { createRunId, type HostedStore } from '../../src/store/store.ts'
import { collectByDistribution, startDockerRegistry } from '../support/docker-registry.ts'
import { all, app, hostedStore, pushBlob, startUpload } from '../support/hosted-store.ts'
import { family, type Image, makeImage, makeIndex, randomBlob } from '../support/images.ts'
import { tool } from '../support/programs.ts'
import { tagOf } from '../support/push-steps.ts'

const distributions = [
  { version: '2.8', program: 'docker-registry' },
  { version: '3.1', program: tool('registry3') },
] as const

async function pushImage(store: HostedStore, name: typeof app, image: Image): Promise<void> {
  for (const { digest, bytes, blobs } of family(image).toReversed()) {
    for (const blob of blobs) await pushBlob(store, blob, name)
    await store.blobs.put(digest, bytes)
    await store.links.addManifest(name, digest)
  }
}

function digestsOf(images: readonly Image[]): readonly string[] {
  const digests = images.flatMap((image) => family(image)).map(({ digest }) => digest)
  return [...new Set(digests)].toSorted()
}

function blobsOf(images: readonly Image[]): readonly string[] {
  const blobs = images.flatMap((image) => family(image)).flatMap((image) => image.blobs)
  return [...new Set(blobs.map(({ digest }) => digest))].toSorted()
}

for (const { version, program } of distributions)
  test(`all that Distribution ${version} has stored is listed`, async (t) => {
    const registry = await startDockerRegistry({ program })
    t.after(registry.close)
    const [one, two] = [makeImage(), makeImage()]
    const index = makeIndex([makeImage(), makeImage()])
    await registry.put('team/app', 'v1', one)
    await registry.put('team/app', 'v1', two)
    await registry.put('team/app', 'multi', index)
    await registry.put('team/app/nested', 'v1', one)
    const session = await startSession(registry)
    await registry.stop()

    const { store } = await hostedStore(t, registry.volume)
    const { blobs, links, uploads } = store
    const nested = parseRepositoryName('team/app/nested')
    assert.deepEqual(await links.repositories(), [app, nested])
    assert.deepEqual((await all(links.names())).toSorted(), [app, nested])
    assert.deepEqual(await links.tags(app), ['multi', 'v1'])
    const images = [one, two, index]
    assert.deepEqual((await all(links.manifestsOf(app))).toSorted(), digestsOf(images))
    assert.deepEqual((await all(links.blobsOf(app))).toSorted(), blobsOf(images))
    const history = await links.tagHistory(app, tagOf('v1'))
    assert.deepEqual(
      history.map(({ digest }) => digest),
      [two.digest, one.digest],
    )
    const stored = [...digestsOf(images), ...blobsOf(images)].toSorted()
    assert.deepEqual((await all(blobs.list())).map(({ digest }) => digest).toSorted(), stored)
    for (const { digest, size } of await all(blobs.list()))
      assert.equal((await blobs.read(digest, size))?.length, size)

    const [left] = await all(uploads.list())
    assert.deepEqual([left?.name, left?.id], [app, session])
    const upload = left && (await uploads.open(left.name, left.id))
    assert.deepEqual([upload?.writer, upload?.size], ['', 4])
    await upload?.cancel()
    assert.deepEqual(await all(uploads.list()), [])
  })

/** Leaves an upload session with four bytes. */
async function startSession({ url, login }: Awaited<ReturnType<typeof startDockerRegistry>>) {
  const basic = Buffer.from(`${login.user}:${login.password}`).toString('base64')
  const headers = { authorization: `Basic ${basic}` }
  const started = await fetch(`${url}/v2/team/app/blobs/uploads/`, { method: 'POST', headers })
  const location = new URL(started.headers.get('location') ?? '', url)
  const body = Buffer.from('left')
  const written = await fetch(location, { method: 'PATCH', headers, body })
  assert.equal(written.status, 202)
  return location.pathname.split('/').at(-1)
}

async function checkKept(t: TestContext, volume: string, images: readonly Image[]): Promise<void> {
  const { store } = await hostedStore(t, volume)
  for (const digest of [...digestsOf(images), ...blobsOf(images)])
    assert.ok(
      (await all(store.blobs.list())).some((blob) => blob.digest === digest),
      digest,
    )
  await store.close()
}

for (const { version, program } of distributions)
  test(`the garbage collection of Distribution ${version} keeps what is used, and removes what is not`, async (t) => {
    const { root, store } = await hostedStore(t)
    const { links } = store
    const subject = makeImage()
    const descriptor = {
      mediaType: subject.mediaType,
      digest: subject.digest,
      size: subject.bytes.length,
    }
    const referrer = makeImage({ extra: { subject: descriptor } })
    for (const image of [subject, referrer]) await pushImage(store, app, image)
    await links.addReferrer(app, subject.digest, referrer.digest)
    await links.setTag(app, tagOf('v1'), subject.digest)
    // A repository with an index alone has no layers.
    const empty = makeIndex([])
    await pushImage(store, parseRepositoryName('empty'), empty)
    await (await startUpload(store)).append([Buffer.from('unfinished')])
    const [unused, trashed] = [randomBlob(1000), randomBlob(1000)]
    for (const blob of [unused, trashed]) await pushBlob(store, blob)
    const run = createRunId()
    await store.blobs.remove(trashed.digest, run)
    await store.close()

    await collectByDistribution(program, root)
    await checkKept(t, root, [subject, referrer, empty])
    const { store: after } = await hostedStore(t, root)
    assert.equal(await after.blobs.stat(unused.digest), undefined)
    assert.deepEqual(await after.blobs.read(trashed.digest, 1000), trashed.bytes)
    assert.deepEqual(await after.links.referrers(app, subject.digest), [referrer.digest])
    assert.deepEqual(await after.trash.runs(), [])
    assert.equal((await all(after.uploads.list())).length, 1)
  })
