import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import {
  openRegistryImage,
  type Progress,
  pushImage,
  type Retry,
} from '../../src/transfer/transfer.ts'
import { readImage } from '../support/archives.ts'
import { removeBerth, startBerth } from '../support/berth.ts'
import { startCuttingProxy } from '../support/cutting-proxy.ts'
import { memoryImage } from '../support/memory-image.ts'
import { createRandom } from '../support/random.ts'
import { openRemote } from '../support/remotes.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
const name = parseRepositoryName('local/app')
const tag = parseTag('one')
const { signal } = new AbortController()
const MiB = 1024 * 1024
/** What a broken connection may cost: what was in the buffers of the kernel and of the proxy. */
const lostPerCut = 8 * MiB

async function berthBehindProxy(t: TestContext) {
  const berth = await startBerth({ config: { upstreams: [], auth: { access: everything } } })
  t.after(() => removeBerth(berth))
  const proxy = await startCuttingProxy(Number(new URL(berth.url).port))
  t.after(proxy.close)
  const remote = openRemote({ url: `http://${proxy.host}`, push: true })
  t.after(() => remote.close())
  return { berth, proxy, remote }
}

test('an upload that breaks at any byte continues there, and every byte is right', async (t) => {
  const { proxy, remote } = await berthBehindProxy(t)
  const random = createRandom(t)
  const sizes = [80 * MiB, 20 * MiB, 5 * MiB]
  const { source, image, blobs, starts } = memoryImage(sizes)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const cuts = Array.from({ length: 5 }, () => random.integer(total))
  proxy.cutAt(...cuts)
  const retries: Retry[] = []
  const onRetry = (retry: Retry) => void retries.push(retry)
  await pushImage({ source, image, remote, name, tags: [tag], onRetry, signal })
  assert.equal(proxy.cuts(), cuts.length)
  t.diagnostic(`${proxy.received() - total} bytes more than ${total}, ${retries.length} retries`)
  assert.ok(
    proxy.received() < total + cuts.length * lostPerCut,
    `${proxy.received()} bytes travelled`,
  )
  const openings = [...blobs.keys()].flatMap(starts).length
  assert.ok(
    openings <= blobs.size + cuts.length,
    'a source is read forward as long as nothing breaks',
  )
  const found = await openRegistryImage({ remote, name, reference: { tag } })
  for (const { digest, bytes } of (await readImage(found, image)).layers)
    assert.equal(digestOf(bytes), digest)
})

test('a registry that is restarted during a push does not end it', async (t) => {
  const { berth, proxy, remote } = await berthBehindProxy(t)
  const size = 80 * MiB
  const { source, image } = memoryImage([size])
  let restarting: Promise<void> | undefined
  const restart = async () => {
    const next = await berth.restart()
    proxy.redirect(Number(new URL(next.url).port))
  }
  const onProgress = ({ sent }: Progress) => {
    if (sent > size / 2) restarting ??= restart()
  }
  await pushImage({ source, image, remote, name, tags: [tag], onProgress, signal })
  assert.ok(restarting)
  assert.ok(proxy.received() < size + 2 * lostPerCut, `${proxy.received()} bytes travelled`)
})

test('a copy between registries continues at both ends', async (t) => {
  const from = await berthBehindProxy(t)
  const to = await berthBehindProxy(t)
  const size = 30 * MiB
  const { source, image } = memoryImage([size])
  await pushImage({ source, image, remote: from.remote, name, tags: [tag], signal })
  const copied = await openRegistryImage({ remote: from.remote, name, reference: { tag } })
  to.proxy.cutAt(10 * MiB, 20 * MiB)
  let isCut = false
  const onProgress = ({ sent }: Progress) => {
    if (sent < 5 * MiB || isCut) return
    isCut = true
    from.proxy.cutAll()
  }
  await pushImage({
    ...{ source: copied, image, remote: to.remote, name, tags: [tag], onProgress, signal },
  })
  assert.ok(isCut)
  assert.equal(to.proxy.cuts(), 2)
  assert.ok(to.proxy.received() < size + 2 * lostPerCut, `${to.proxy.received()} bytes travelled`)
})
