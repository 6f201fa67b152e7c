import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { ArchiveError, listLayerFiles, readLayerFile } from '../../src/archive/archive.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { entriesOf, layerBlob, textOf } from '../support/layer-blobs.ts'
import { paxItem, type TarItem, tarFile } from '../support/tar-file.ts'

const items: readonly TarItem[] = [
  { name: './', type: '5', mode: 0o755 },
  { name: './etc/', type: '5', mode: 0o755 },
  { name: './etc/passwd', content: 'root\n', mode: 0o600 },
  { name: './etc/link', type: '2', linkName: '/etc/passwd' },
  { name: './etc/hard', type: '1', linkName: './etc/passwd' },
  { name: './etc/.wh.shadow' },
  { name: './opt/.wh..wh..opq' },
  { name: './.wh..wh.aufs' },
  { name: './dev/null', type: '3' },
  paxItem({ path: 'long/ünïcode', uid: '4294967294', mtime: '1700000000.75' }),
  { name: 'short', content: 'x'.repeat(70_000) },
]
const tar = tarFile(items)
/** Two members: pigz and Berth write one for each block. */
const members = (bytes: Buffer) =>
  Buffer.concat([gzipSync(bytes.subarray(0, 3000)), gzipSync(bytes.subarray(3000))])
const frames = (bytes: Buffer) =>
  Buffer.concat([zstdCompressSync(bytes.subarray(0, 3000)), zstdCompressSync(bytes.subarray(3000))])
const compressions = { uncompressed: (bytes: Buffer) => bytes, gzip: gzipSync, members, frames }

for (const [name, compress] of Object.entries(compressions)) {
  test(`the entries of a layer are listed (${name})`, async () => {
    const files = await entriesOf(layerBlob(compress(tar)))
    const summary = files.map(({ path, type, size, link = '' }) =>
      [type, path, size, link].join(' '),
    )
    assert.deepEqual(summary, [
      'directory  0 ',
      'directory etc 0 ',
      'file etc/passwd 5 ',
      'symlink etc/link 0 /etc/passwd',
      'hardlink etc/hard 0 etc/passwd',
      'whiteout etc/shadow 0 ',
      'opaque opt 0 ',
      'char dev/null 0 ',
      'file long/ünïcode 70000 ',
    ])
    const { mode, uid, gid, modified, digest } = files[2] ?? {}
    assert.deepEqual(
      { mode, uid, gid, modified },
      { mode: 0o600, uid: 1000, gid: 1000, modified: 0o14700000000 },
    )
    assert.equal(digest, digestOf(Buffer.from('root\n')))
    assert.deepEqual([files[8]?.uid, files[8]?.modified], [4294967294, 1_700_000_000])
  })

  test(`a file of a layer is read, by its name and by its place (${name})`, async () => {
    const layer = layerBlob(compress(tar))
    assert.equal(await textOf(readLayerFile(layer, { path: 'etc/hard' })), 'root\n')
    assert.equal(await textOf(readLayerFile(layer, { path: 'long/ünïcode' })), 'x'.repeat(70_000))
    for (const { path, type, position, size, digest } of await entriesOf(layer)) {
      if (type !== 'file' || position === undefined || digest === undefined) continue
      const place = { position, size, digest }
      assert.equal((await textOf(readLayerFile(layer, { path, place }))).length, size)
    }
  })
}

test('of an uncompressed layer, a file whose place is known is all that is read', async () => {
  const layer = layerBlob(tar)
  const file = (await entriesOf(layer)).at(-1)
  layer.ranges.splice(0)
  const { position = 0, size = 0, digest = layer.digest } = file ?? {}
  await textOf(readLayerFile(layer, { path: 'any', place: { position, size, digest } }))
  assert.deepEqual(layer.ranges, [
    { start: 0, end: 4 },
    { start: position, end: position + size },
  ])
})

test('the last entry of a path counts, and a hard link is what its target was', async () => {
  const layer = layerBlob(
    tarFile([
      { name: 'a', content: 'first' },
      { name: 'b', type: '1', linkName: 'a' },
      { name: 'a', content: 'second' },
    ]),
  )
  assert.equal(await textOf(readLayerFile(layer, { path: 'a' })), 'second')
  assert.equal(await textOf(readLayerFile(layer, { path: 'b' })), 'first')
})

test('what is no file of the layer cannot be read', async () => {
  const layer = layerBlob(gzipSync(tar))
  for (const path of ['etc', 'etc/link', 'etc/none', 'etc/shadow', 'dev/null'])
    await assert.rejects(textOf(readLayerFile(layer, { path })), { fault: 'missing' })
})

test('a large file that comes with other bytes than before is not given out whole', async () => {
  const content = randomBytes(6_000_000)
  const bytes = tarFile([{ name: 'large', content }])
  const good = layerBlob(bytes)
  const received: number[] = []
  const place = { position: 512, size: content.length, digest: digestOf(content) }
  const sent = Buffer.from(bytes)
  sent[2_000_000] = (sent[2_000_000] ?? 0) ^ 1
  await assert.rejects(async () => {
    const layer = layerBlob(bytes, { sent })
    for await (const chunk of readLayerFile(layer, { path: 'large', place }))
      received.push(chunk.length)
  }, /not what its layer says/)
  assert.ok(received.reduce((sum, size) => sum + size, 0) < content.length)
  assert.equal((await textOf(readLayerFile(good, { path: 'large' }))).length > 0, true)
})

test('a layer with other bytes than those of its digest is refused', async () => {
  const sent = Buffer.from(tar)
  sent[tar.length - 1] = 1
  const faults = [layerBlob(tar, { sent }), layerBlob(tar, { sent: tar.subarray(0, 4000) })]
  for (const layer of faults) {
    await assert.rejects(entriesOf(layer), { fault: 'invalid' })
    await assert.rejects(textOf(readLayerFile(layer, { path: 'etc/passwd' })), { fault: 'invalid' })
  }
})

test('bombs are refused: entries, sizes, ratio, names, time', async () => {
  const zeros = layerBlob(
    gzipSync(tarFile([{ name: 'zeros', content: Buffer.alloc(100_000_000) }])),
  )
  const many = layerBlob(tarFile(Array.from({ length: 50 }, (_, at) => ({ name: `f${at}` }))))
  const cases = [
    { layer: zeros, limits: { ratio: 200 } },
    { layer: zeros, limits: { size: 1_000_000, ratio: 10_000 } },
    { layer: many, limits: { entries: 49 } },
    { layer: layerBlob(tarFile([{ name: 'long' }])), limits: { name: 3 } },
    { layer: { ...many, read: () => silent() }, limits: { time: 300 } },
  ]
  for (const { layer, limits } of cases)
    await assert.rejects(
      async () => {
        const { batches } = await listLayerFiles(layer, { limits })
        for await (const _ of batches);
      },
      (error) => error instanceof ArchiveError && error.fault === 'too-large',
      JSON.stringify(limits),
    )
})

/** A source that never sends anything, and ends with its reader. */
async function* silent(): AsyncGenerator<Buffer> {
  await new Promise((resolve) => setTimeout(resolve, 2000))
}

test('an error of the source is the error of the reader', async () => {
  const cause = new Error('the registry is down')
  const layer = {
    ...layerBlob(tar),
    async *read() {
      yield tar.subarray(0, 1000)
      throw cause
    },
  }
  await assert.rejects(entriesOf(layer), (error) => error === cause)
})

test('a reader that leaves, or is aborted, ends the reading of the source', async () => {
  const content = randomBytes(30_000_000)
  const bytes = tarFile([{ name: 'large', content }])
  let open = 0
  const layer = {
    ...layerBlob(bytes),
    async *read({ start, end }: { start: number; end: number }) {
      open += 1
      try {
        for (let at = start; at < end; at += 100_000)
          yield bytes.subarray(at, Math.min(at + 100_000, end))
      } finally {
        open -= 1
      }
    },
  }
  const place = { position: 512, size: content.length, digest: digestOf(content) }
  for await (const _ of readLayerFile(layer, { path: 'large', place })) break
  assert.equal(open, 0)
  const controller = new AbortController()
  const reading = readLayerFile(layer, { path: 'large', place }, { signal: controller.signal })
  await assert.rejects(async () => {
    for await (const _ of reading) controller.abort(new Error('enough'))
  }, /enough/)
  assert.equal(open, 0)
})
