import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createCacheMemory } from '../../src/memory/caches.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { createTags } from '../../src/registry/tags.ts'
import { openCachedLinks } from '../../src/store/cache/cached-links.ts'
import { createTemporary } from '../../src/store/temporary.ts'
import { name as nameOf, tag as tagOf } from '../store/link-store.conformance.ts'
import { ownDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { openRemote } from '../support/remotes.ts'
import { startScriptedUpstream } from '../support/scripted-upstream.ts'

const [name, tag] = [nameOf('p/r'), tagOf('v1')]
const image = makeImage()

/** A tag that never changes, for which the upstream has been asked; `release` lets it answer. */
async function askForTag(t: TestContext, status: 200 | 404) {
  const upstream = await startScriptedUpstream()
  t.after(upstream.close)
  const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  upstream.on('GET /v2/p/r/manifests/v1', async ({ reply }) => {
    asked.resolve()
    await gate.promise
    if (status === 200) reply(200, { 'content-type': image.mediaType }, image.bytes.toString())
    else reply(404)
  })
  const root = await ownDirectory(t)
  const all = await openCachedLinks({
    root,
    temporary: createTemporary(root),
    maxSize: 2 ** 28,
    onWritten: () => {},
  })
  const links = all.of('one')
  const stored = new Set<Digest>()
  const tags = createTags({
    policy: { ttl: 60_000, staleIfError: 60_000, immutable: ['*'] },
    remote: openRemote({ url: upstream.url }),
    findShared: async () => undefined,
    links,
    caches: createCacheMemory(2 ** 20),
    has: async (_name, digest) => stored.has(digest),
    add: async (_name, { digest, release }) => {
      stored.add(digest)
      release()
    },
    onStale: () => {},
  })
  const pull = tags.resolve(name, tag)
  await asked.promise
  return { tags, links, pull, release: gate.resolve }
}

test('a tag that is deleted while the upstream is asked for it does not come back', async (t) => {
  const { tags, links, pull, release } = await askForTag(t, 200)
  await tags.remove(name, tag)
  release()
  assert.equal(await pull, undefined)
  assert.equal(await links.tag(name, tag), undefined)
})

test('a tag that is pushed while the upstream says that there is none is there, and stays on the disk', async (t) => {
  const { tags, links, pull, release } = await askForTag(t, 404)
  await tags.set(name, tag, image.digest)
  release()
  assert.equal((await pull)?.digest, image.digest)
  assert.equal((await links.tag(name, tag))?.digest, image.digest)
})
