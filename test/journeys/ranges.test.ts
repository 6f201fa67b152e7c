import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { partsOf } from '../support/byteranges.ts'
import { get, type Reply } from '../support/client.ts'
import { type Blob, randomBlob } from '../support/images.ts'
import { pullBlob } from '../support/pull.ts'
import { type Answering, answerInTwo } from '../support/scripted-upstream.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const mebibyte = 1024 * 1024

const upstream = await useUpstream()
const berth = useBerth({ config: config() })

function config(cache: Readonly<Record<string, unknown>> = {}) {
  const storage = { cache: { minimumFree: 0, scrubRate: 0, ...cache } }
  return { upstreams: [{ url: upstream.url }], storage }
}

function newBlob(size: number): Blob {
  const blob = randomBlob(size)
  upstream.putBlob('p/r', blob)
  return blob
}

function ask({ digest }: Blob, ranges: string): Promise<Reply> {
  return get(`${berth.url}/v2/p/r/blobs/${digest}`, { headers: { range: `bytes=${ranges}` } })
}

function assertParts(reply: Reply, { bytes }: Blob, ranges: readonly string[]): void {
  assert.equal(reply.status, 206)
  assert.equal(reply.headers['content-length'], String(reply.body.length))
  const parts = partsOf(reply)
  assert.deepEqual(
    parts.map(({ range }) => range),
    ranges,
  )
  for (const { range, bytes: got } of parts) {
    const [first = 0, last = 0] = range.split('-').map(Number)
    assert.ok(got.equals(bytes.subarray(first, last + 1)), range)
  }
}

test('several ranges of a cached blob come in one answer (P13)', async () => {
  const blob = newBlob(3 * mebibyte)
  await pullBlob(berth, 'p/r', blob)
  const reply = await ask(blob, '0-0,1-99999,2000000-2999999,-7,9999999-')
  const size = blob.bytes.length
  assertParts(reply, blob, ['0-0', '1-99999', '2000000-2999999', `${size - 7}-${size - 1}`])
  assert.equal(reply.headers['x-cache'], 'hit')
})

test('several ranges of a cold blob come as it is downloaded, from one request (P12, P13)', async () => {
  const blob = newBlob(3 * mebibyte)
  const gate = Promise.withResolvers<void>()
  upstream.on(blob.digest, answerInTwo(blob.bytes, mebibyte, gate.promise))
  const before = upstream.requests.length
  const asking = ask(blob, '10-19,1048500-1048700,3000000-')
  await eventually('it is being downloaded', () => upstream.requests.length > before)
  gate.resolve()
  const last = blob.bytes.length - 1
  assertParts(await asking, blob, ['10-19', '1048500-1048700', `3000000-${last}`])
  assert.equal(upstream.requests.length - before, 1)
})

test('several ranges of a blob that is passed through uncached come in order (P13)', async () => {
  await berth.start({ config: config({ maxSize: mebibyte }) })
  const blob = newBlob(3 * mebibyte)
  const reply = await ask(blob, '2000000-2000999,0-9,5-1000')
  assertParts(reply, blob, ['0-1000', '2000000-2000999'])
  assert.equal(reply.headers['x-cache'], 'bypass')
})

test('a connection can be used after a response with several ranges (P13)', async () => {
  const blob = newBlob(mebibyte)
  await pullBlob(berth, 'p/r', blob)
  for (const ranges of ['0-1,4-5', '7-8', '1-2,5-6,900000-']) {
    const reply = await ask(blob, ranges)
    assert.equal(reply.status, 206)
  }
  await pullBlob(berth, 'p/r', blob)
})

test('too many ranges, and ranges beyond the end, get 416 with the size (P13)', async () => {
  const blob = newBlob(100_000)
  const many = Array.from({ length: 1025 }, (_, at) => `${2 * at}-${2 * at}`).join(',')
  for (const ranges of [many, '100000-,200000-200001']) {
    const { status, headers } = await ask(blob, ranges)
    assert.equal(status, 416)
    assert.equal(headers['content-range'], 'bytes */100000')
  }
})

suite('a range far beyond what has been downloaded', () => {
  const size = 12 * mebibyte

  /** A blob whose download stops after 1 MiB until the gate opens; ranges are answered as they should. */
  function slowBlob(answerRange?: Answering): { readonly blob: Blob; readonly open: () => void } {
    const blob = newBlob(size)
    const gate = Promise.withResolvers<void>()
    upstream.on(blob.digest, answerInTwo(blob.bytes, mebibyte, gate.promise), 1)
    upstream.on(blob.digest, answerRange ?? rangeOf(blob))
    return { blob, open: gate.resolve }
  }

  function rangeOf({ bytes }: Blob): Answering {
    return ({ reply, headers }) => {
      const [, first = 0, last = 0] =
        /^bytes=(\d+)-(\d+)$/.exec(headers['range'] ?? '')?.map(Number) ?? []
      const contentRange = `bytes ${first}-${last}/${bytes.length}`
      reply(206, { 'content-range': contentRange }, bytes.subarray(first, last + 1))
    }
  }

  const rangesOf = ({ digest }: Blob) =>
    upstream.requests
      .filter(({ path }) => path.includes(digest))
      .map(({ headers }) => headers['range'])

  test('is fetched by a separate request, and the download continues (issue 10, point 21)', async () => {
    const { blob, open } = slowBlob()
    const footer = await ask(blob, '-100')
    assert.equal(footer.status, 206)
    assert.ok(footer.body.equals(blob.bytes.subarray(-100)))
    const parts = await ask(blob, '10000000-10000009,11000000-11000999')
    assertParts(parts, blob, ['10000000-10000009', '11000000-11000999'])
    assert.deepEqual(rangesOf(blob), [
      undefined,
      `bytes=${size - 100}-${size - 1}`,
      'bytes=10000000-10000009',
      'bytes=11000000-11000999',
    ])
    open()
    await pullBlob(berth, 'p/r', blob)
    const host = new URL(upstream.url).host
    assert.equal(await berth.metric(`berth_fill_ranges_total{upstream="${host}"}`), 3)
    assert.equal(await berth.metric(`berth_digest_mismatch_total{upstream="${host}"}`), 0)
  })

  test('waits for the download where the upstream answers with the whole blob (issue 10, point 21)', async () => {
    const { blob, open } = slowBlob(({ reply }) => reply(200, {}, blob.bytes))
    const asking = ask(blob, '-100')
    await eventually('it was asked for', () => rangesOf(blob).length === 2)
    open()
    assert.ok((await asking).body.equals(blob.bytes.subarray(-100)))
    await pullBlob(berth, 'p/r', blob)
  })

  test('waits for the download where it is long, near, or one of too many (issue 10, point 21)', async () => {
    const { blob, open } = slowBlob()
    for (let at = 10_000_000; at < 10_000_016; at += 1)
      assert.equal((await ask(blob, `${at}-${at}`)).status, 206)
    const asking = [ask(blob, '9999999-10000000'), ask(blob, '2000000-2000001'), ask(blob, '10-')]
    await eventually(
      'all are waited for',
      async () => (await berth.metric('berth_http_in_flight')) === asking.length,
    )
    assert.equal(rangesOf(blob).length, 17)
    open()
    for (const { status } of await Promise.all(asking)) assert.equal(status, 206)
    await pullBlob(berth, 'p/r', blob)
  })

  test('with wrong bytes is detected when the blob is complete (issue 10, point 21, INV-1)', async () => {
    const { blob, open } = slowBlob(({ reply }) => {
      reply(206, { 'content-range': `bytes ${size - 4}-${size - 1}/${size}` }, 'evil')
    })
    assert.equal((await ask(blob, '-4')).body.toString(), 'evil')
    open()
    await pullBlob(berth, 'p/r', blob)
    const host = new URL(upstream.url).host
    // The comparison follows the end of the download.
    await eventually('it is counted and logged', async () => {
      const isLogged = berth
        .logs()
        .some(({ level, position }) => level === 'error' && position === size - 4)
      const count = await berth.metric(`berth_digest_mismatch_total{upstream="${host}"}`)
      return isLogged && count === 1
    })
  })
})
