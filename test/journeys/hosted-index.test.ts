import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { get } from '../support/client.ts'
import { useDirectory } from '../support/directory.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'
import { writeVolume } from '../support/volume.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

const base = await useDirectory()

/** Removed after the last test, when no Berth uses it any more. */
const newRoot = () => mkdtemp(join(base, 'volume-'))

async function start(t: TestContext, root: string): Promise<Berth> {
  const berth = await startBerth({
    config: {
      upstreams: [],
      auth: { access: everything },
      storage: { hosted: { directory: root } },
    },
  })
  t.after(() => removeBerth(berth))
  return berth
}

async function json({ url }: Pick<Berth, 'url'>, path: string): Promise<Record<string, unknown>> {
  return JSON.parse((await get(`${url}/v2/${path}`)).body.toString())
}

const catalog = async (berth: Berth) => (await json(berth, '_catalog'))['repositories']
const isComplete = async ({ metric }: Berth) => (await metric('berth_index_complete')) === 1
const readyz = async ({ admin }: Berth) => {
  const { status, body } = await get(`${admin}/readyz`)
  return { status, text: body.toString() }
}

/** The numbers come one scrape after they were requested. */
async function untilCounted({ metric }: Berth, kind: string, count: number): Promise<void> {
  await eventually(`${count} ${kind}`, async () => {
    return (await metric(`berth_hosted_objects{kind="${kind}"}`)) === count
  })
}

test('without anything hosted there is no index, and /readyz does not mention it', async (t) => {
  const root = await newRoot()
  const berth = await start(t, root)
  assert.deepEqual(await catalog(berth), [])
  assert.doesNotMatch((await readyz(berth)).text, /index/)
  assert.deepEqual(await readdir(root), [])
})

test('after the first push there is one, and after a restart it is complete', async (t) => {
  const root = await newRoot()
  const berth = await start(t, root)
  const image = makeImage()
  await createPushClient(berth.url).push('local/app', image, 'v1', 'v2')
  await eventually('it is complete', () => isComplete(berth))
  assert.deepEqual(await catalog(berth), ['local/app'])
  assert.doesNotMatch((await readyz(berth)).text, /index/)
  await untilCounted(berth, 'tags', 2)
  await untilCounted(berth, 'blobs', 4)
  await berth.stop()
  assert.ok((await readdir(join(root, '_berth'))).includes('clean'))
  const again = await start(t, root)
  await eventually('it is complete', () => isComplete(again))
  await untilCounted(again, 'blobs', 4)
  assert.deepEqual(await catalog(again), ['local/app'])
  await checkInvariants(again)
})

test('a volume of Distribution has referrers, and stays as it is until something is pushed', async (t) => {
  const root = await newRoot()
  const image = makeImage()
  const subject = { mediaType: image.mediaType, digest: image.digest, size: image.bytes.length }
  const signature = makeImage({ extra: { subject } })
  await writeVolume(root, 'local/app', 'v1', image)
  await writeVolume(root, 'local/app', 'signed', signature)
  const before = (await readdir(root, { recursive: true })).toSorted()
  const berth = await start(t, root)
  const referrers = `local/app/referrers/${image.digest}`
  const digestsOf = async (of: Berth) => {
    const { manifests } = await json(of, referrers)
    return (manifests as { digest: string }[]).map(({ digest }) => digest)
  }
  await eventually('it is complete', () => isComplete(berth))
  assert.deepEqual(await digestsOf(berth), [signature.digest])
  await berth.stop()
  assert.deepEqual((await readdir(root, { recursive: true })).toSorted(), before)

  const pushing = await start(t, root)
  await createPushClient(pushing.url).push('local/other', makeImage(), 'v1')
  await pushing.stop()
  const owning = await start(t, root)
  await eventually('it is complete', () => isComplete(owning))
  await owning.stop()
  // Now it is written where Berth finds it without an index.
  const links = join(root, 'docker/registry/v2/repositories/local/app/_manifests/referrers')
  assert.match((await readdir(links, { recursive: true })).join(' '), /link/)
})

test('an index that is deleted while it serves is missed by nobody', async (t) => {
  const root = await newRoot()
  const berth = await start(t, root)
  const client = createPushClient(berth.url)
  await client.push('local/app', makeImage(), 'v1')
  await eventually('it is complete', () => isComplete(berth))
  // The server writes there at the same time.
  await rm(join(root, '_berth'), { recursive: true, maxRetries: 20 })
  for (let at = 0; at < 20; at += 1) {
    await client.push(`local/app${at}`, makeImage({ layers: [randomBlob(100)] }), 'v1')
    assert.equal(((await catalog(berth)) as unknown[]).length, at + 2)
    assert.equal((await readyz(berth)).status, 200)
  }
  await eventually('it was made again', async () => {
    const failures = await berth.metric('berth_index_failures_total{kind="deleted"}')
    return failures === 1 && isComplete(berth)
  })
  assert.equal(((await catalog(berth)) as unknown[]).length, 21)
  await untilCounted(berth, 'tags', 21)
})

test('mounting without a source finds the blob in any repository that the user may pull', async (t) => {
  const root = await newRoot()
  const berth = await start(t, root)
  const client = createPushClient(berth.url)
  const image = makeImage()
  await client.push('local/app', image, 'v1')
  await eventually('it is complete', () => isComplete(berth))
  const digest = image.blobs[1]?.digest
  const mounted = await client.send('POST', `local/other/blobs/uploads/?mount=${digest}`)
  assert.equal(mounted.status, 201)
})
