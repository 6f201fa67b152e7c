import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { listLayerFiles, readLayerFile } from '../../src/archive/archive.ts'
import { entriesOf, layerBlob, textOf } from '../support/layer-blobs.ts'
import { estargzLayer, type LazyOptions, zstdChunkedLayer } from '../support/lazy-layers.ts'
import { type TarItem, tarFile } from '../support/tar-file.ts'

const large = randomBytes(400_000).toString('hex')
const items: readonly TarItem[] = [
  { name: 'etc/', type: '5', mode: 0o755 },
  { name: 'etc/passwd', content: 'root\n', mode: 0o600 },
  { name: 'etc/empty' },
  { name: 'etc/.wh.shadow' },
  { name: 'etc/hard', type: '1', linkName: 'etc/large' },
  { name: 'etc/large', content: large },
  { name: 'etc/again', type: '1', linkName: 'etc/large' },
  { name: 'etc/link', type: '2', linkName: 'passwd' },
  { name: 'data', content: randomBytes(300_000).toString('hex') },
]

const formats = { eStargz: estargzLayer, 'zstd:chunked': zstdChunkedLayer }

for (const [name, layerOf] of Object.entries(formats)) {
  test(`${name}: the table of contents lists what the whole layer lists`, async () => {
    const layer = layerOf(items)
    const listed = await entriesOf(layer)
    const read = layer.ranges.reduce((sum, { start, end }) => sum + end - start, 0)
    assert.ok(read < 20_000, `${read} of ${layer.size} bytes were read`)
    const whole = await entriesOf(layerBlob(tarFile(items)))
    assert.deepEqual(
      listed,
      whole.map(({ position: _, ...file }) => file),
    )
  })

  test(`${name}: of a file, only its chunks are read`, async () => {
    const layer = layerOf(items)
    assert.equal(await textOf(readLayerFile(layer, { path: 'etc/large' })), large)
    const ranges = layer.ranges.splice(0)
    const read = ranges.reduce((sum, { start, end }) => sum + end - start, 0)
    assert.ok(read < 700_000, `${read} of ${layer.size} bytes were read`)
    assert.ok(ranges.length <= 3, 'chunks that are beside each other need one request')
    assert.equal(await textOf(readLayerFile(layer, { path: 'etc/again' })), large)
    assert.equal(await textOf(readLayerFile(layer, { path: 'etc/passwd' })), 'root\n')
    assert.equal(await textOf(readLayerFile(layer, { path: 'etc/empty' })), '')
    await assert.rejects(textOf(readLayerFile(layer, { path: 'etc/hard' })), { fault: 'missing' })
  })

  test(`${name}: a chunk with other bytes than those of its digest is refused`, async () => {
    // Another chunk of the same layer: it decompresses well.
    const edit: LazyOptions['edit'] = (entries) => {
      const [one, other] = entries.filter(({ type }) => type === 'chunk')
      if (one !== undefined) one['chunkDigest'] = other?.['chunkDigest']
    }
    const reading = textOf(readLayerFile(layerOf(items, { edit }), { path: 'etc/large' }))
    await assert.rejects(reading, /not what its layer says/)
  })

  const wrong: Readonly<Record<string, LazyOptions>> = {
    'has no annotation': { annotations: () => ({}) },
    'has another digest': {
      annotations: (own) =>
        Object.fromEntries(
          Object.entries(own).map(([key, value]) => [
            key,
            value.replace(/.$/, (hex) => (hex === '0' ? '1' : '0')),
          ]),
        ),
    },
    'has a chunk without a file': {
      edit: (entries) => void entries.splice(0, 2, { name: 'x', type: 'chunk' }),
    },
    'has chunks that do not fit': { edit: (entries) => void entries.splice(6, 1) },
    'names a file that leaves the layer': {
      edit: (entries) => void entries.push({ name: '../x', type: 'reg' }),
    },
    'lacks a digest': { edit: ([, file]) => void delete file?.['digest'] },
    'has a chunk behind its end': {
      edit: ([, file]) => void Object.assign(file ?? {}, { offset: 10 ** 9 }),
    },
    'is of another version': { edit: (entries) => void entries.splice(0, 0, { name: 1 }) },
  }
  for (const [why, options] of Object.entries(wrong))
    test(`${name}: the whole layer is read if its table of contents ${why}`, async () => {
      const layer = layerOf(items, options)
      const { from, batches } = await listLayerFiles(layer)
      assert.equal(from, 'layer')
      let count = 0
      for await (const batch of batches) count += batch.length
      // eStargz has its table as a file.
      assert.equal(count, items.length + (name === 'eStargz' ? 1 : 0))
      assert.equal(await textOf(readLayerFile(layer, { path: 'etc/passwd' })), 'root\n')
    })
}
