import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { createAuthority } from '../support/certificates.ts'
import { codeOf, get } from '../support/client.ts'
import { ownDirectory } from '../support/directory.ts'
import { makeImage, randomBlob } from '../support/images.ts'
import { connectRaw, type RawConnection } from '../support/raw.ts'
import { answerInTwo } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const upstream = await useUpstream()
const berth = useBerth({
  config: { upstreams: [{ url: upstream.url }], limits: { memory: '256MiB' } },
})

test('unread long responses cause 503 for further ones until they are read (R206)', async () => {
  const filler = 'x'.repeat(3_500_000)
  const image = makeImage({ layers: [], extra: { annotations: { filler } } })
  upstream.put('p/r', 'v1', image)
  const path = `/v2/p/r/manifests/${image.digest}`
  const url = `${berth.url}${path}`
  assert.deepEqual((await get(url)).body, image.bytes)
  const stalled: RawConnection[] = []
  await eventually('there is no memory left', async () => {
    stalled.push(await connectRaw(berth.url, { paused: true }))
    // The kernel takes the first ones for itself; one that gets 503 is asked for again.
    for (const { ask } of stalled)
      for (let at = 0; at < 3; at += 1) ask(`GET ${path} HTTP/1.1`, 'Host: x')
    const reply = await get(url)
    if (reply.status === 200) return false
    assert.equal(reply.status, 503)
    assert.equal(codeOf(reply), 'UNAVAILABLE')
    assert.ok(reply.complete)
    assert.equal(reply.headers['retry-after'], '1')
    return true
  })
  assert.equal((await get(`${berth.url}/v2/`)).status, 200)
  for (const { reset } of stalled) reset()
  await eventually('there is memory again', async () => (await get(url)).status === 200)
})

test('40 TLS clients of a blob that is still coming are all served with 160 MiB of memory', async (t) => {
  const authority = await createAuthority('memory')
  t.after(authority.remove)
  const { certificate, key } = await authority.issue(['IP:127.0.0.1'])
  const directory = await ownDirectory(t)
  const tls = { certificate: join(directory, 'certificate'), key: join(directory, 'key') }
  await writeFile(tls.certificate, certificate)
  await writeFile(tls.key, key)
  await berth.start({
    config: {
      upstreams: [{ url: upstream.url }],
      limits: { memory: '160MiB' },
      tls,
    },
  })
  const blob = randomBlob(600_000)
  const rest = Promise.withResolvers<void>()
  upstream.putBlob('p/r', blob)
  upstream.on(`GET /v2/p/r/blobs/${blob.digest}`, answerInTwo(blob.bytes, 100_000, rest.promise))
  const clients = await Promise.all(Array.from({ length: 40 }, () => connectRaw(berth.url)))
  for (const { ask } of clients) ask(`GET /v2/p/r/blobs/${blob.digest} HTTP/1.1`, 'Host: x')
  await eventually('all are answered', () => clients.every((each) => each.rest().length > 0))
  rest.resolve()
  for (const client of clients) {
    const { status, body } = await client.reply()
    assert.deepEqual([status, body.equals(blob.bytes)], [200, true])
    client.reset()
  }
})
