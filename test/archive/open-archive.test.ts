import assert from 'node:assert/strict'
import { mkdir, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { ArchiveError, type ImageSource, openImageArchive } from '../../src/archive/archive.ts'
import { defaultLimits } from '../../src/archive/limits.ts'
import { digestOf } from '../../src/oci/digest.ts'
import {
  bytesOf,
  dockerImage,
  dockerItems,
  hexOf,
  layerOf,
  ociItems,
  plainOf,
  readImage,
} from '../support/archives.ts'
import { ownDirectory } from '../support/directory.ts'
import { paxItem, type TarItem, tarFile } from '../support/tar-file.ts'

async function fileOf(t: TestContext, bytes: Buffer): Promise<string> {
  const path = join(await ownDirectory(t), 'archive')
  await writeFile(path, bytes)
  return path
}

type Options = Parameters<typeof openImageArchive>[1]

async function openBytes(t: TestContext, bytes: Buffer, options?: Options): Promise<ImageSource> {
  const source = await openImageArchive(await fileOf(t, bytes), options)
  t.after(() => source.close())
  return source
}

/** Of an archive that is opened and read to its end. */
async function faultOf(t: TestContext, bytes: Buffer, options?: Options): Promise<string> {
  try {
    const source = await openBytes(t, bytes, options)
    for (const { digest } of source.images) await readImage(source, digest)
    return 'none'
  } catch (error) {
    if (error instanceof ArchiveError) return error.fault
    throw error
  }
}

const image = dockerImage('host.example/team/app:1.2')

test('a docker archive is an OCI image with the same config, and gzipped layers', async (t) => {
  const source = await openBytes(t, tarFile(dockerItems([image])))
  const [first] = source.images
  assert.deepEqual(first?.names, [image.name])
  const { mediaType, config, layers } = await readImage(
    source,
    first?.digest ?? digestOf(image.config),
  )
  assert.equal(mediaType, 'application/vnd.oci.image.manifest.v1+json')
  assert.deepEqual(config.bytes, image.config)
  assert.deepEqual(layers.map(plainOf), image.layers)
  for (const { bytes, digest, size, mediaType: type } of layers) {
    assert.equal(digestOf(bytes), digest)
    assert.equal(bytes.length, size)
    assert.equal(type, 'application/vnd.oci.image.layer.v1.tar+gzip')
  }
})

test('a layer can be read from any byte, and is compressed the same way each time', async (t) => {
  const large = dockerImage('app:1', [layerOf('large', 2_000_000)])
  const bytes = tarFile(dockerItems([large]))
  const [one, two] = [await openBytes(t, bytes), await openBytes(t, bytes)]
  assert.deepEqual(one.images, two.images)
  const [layer] = (await readImage(one, one.images[0]?.digest ?? digestOf(bytes))).layers
  assert.ok(layer)
  for (const start of [0, 1, 700_000, layer.size - 1, layer.size])
    assert.deepEqual(await bytesOf(two.read(layer, { start })), layer.bytes.subarray(start))
})

test('a layer of which no copy can be kept is compressed again', async (t) => {
  const large = dockerImage('app:1', [layerOf('large', 20_000_000)])
  const bytes = tarFile(dockerItems([large]))
  const directory = join(await ownDirectory(t), 'missing')
  const [one, two] = [await openBytes(t, bytes, { directory }), await openBytes(t, bytes)]
  assert.deepEqual(one.images, two.images)
  const [layer] = (await readImage(one, one.images[0]?.digest ?? digestOf(bytes))).layers
  assert.ok(layer)
  assert.equal(digestOf(layer.bytes), layer.digest)
})

test('layers are compressed with zstd if that is asked for', async (t) => {
  const bytes = tarFile(dockerItems([image]))
  const source = await openBytes(t, bytes, { compression: { kind: 'zstd', level: 1 } })
  const { layers } = await readImage(source, source.images[0]?.digest ?? digestOf(bytes))
  assert.deepEqual(
    layers.map(({ bytes: packed }) => zstdDecompressSync(packed)),
    image.layers,
  )
  assert.ok(layers.every(({ mediaType }) => mediaType.endsWith('.tar+zstd')))
})

test('without compression, a layer has the digest that its config names', async (t) => {
  const source = await openBytes(t, tarFile(dockerItems([image])), {
    compression: { kind: 'none' },
  })
  const { layers } = await readImage(source, source.images[0]?.digest ?? digestOf(image.config))
  assert.deepEqual(
    layers.map(({ digest }) => digest),
    image.layers.map((layer) => digestOf(layer)),
  )
})

test('a known layer is verified, but not compressed to find its digest', async (t) => {
  const known = new Map<string, { digest: ReturnType<typeof digestOf>; size: number }>()
  const layers = { get: (id: string) => known.get(id), set: known.set.bind(known) }
  const bytes = tarFile(dockerItems([image]))
  const first = await openBytes(t, bytes, { known: layers })
  assert.equal(known.size, 2)
  const second = await openBytes(t, bytes, { known: layers })
  assert.deepEqual(first.images, second.images)
})

test('layers that are compressed in the archive stay as they are', async (t) => {
  for (const compress of [gzipSync, zstdCompressSync]) {
    const [layer = Buffer.alloc(0)] = image.layers
    const packed = compress(layer)
    const single = dockerImage('app:1', [layer])
    const items = dockerItems([single]).map((item) =>
      item.name.endsWith('layer.tar') ? { ...item, content: packed } : item,
    )
    const source = await openBytes(t, tarFile(items))
    const { layers } = await readImage(source, source.images[0]?.digest ?? digestOf(layer))
    assert.deepEqual(layers[0]?.bytes, packed)
  }
})

test('links of old docker archives lead to the layer', async (t) => {
  const [first = Buffer.alloc(0)] = image.layers
  const twice = dockerImage('app:1', [first, first])
  const path = `${hexOf(first)}/layer.tar`
  const manifest = {
    Config: `${hexOf(twice.config)}.json`,
    RepoTags: null,
    Layers: [path, 'other/layer.tar'],
  }
  const items: readonly TarItem[] = [
    { name: 'other/layer.tar', type: '2', linkName: `../${path}` },
    { name: path, content: first },
    { name: `${hexOf(twice.config)}.json`, content: twice.config },
    { name: 'manifest.json', content: JSON.stringify([manifest]) },
  ]
  const source = await openBytes(t, tarFile(items))
  const { layers } = await readImage(source, source.images[0]?.digest ?? digestOf(first))
  assert.deepEqual(layers.map(plainOf), [first, first])
})

test('an OCI layout keeps its digests, as a tar file, compressed, and as a directory', async (t) => {
  const items = ociItems(image)
  const bytes = tarFile(items)
  const directory = await ownDirectory(t)
  for (const { name, content = '' } of items) {
    await mkdir(dirname(join(directory, name)), { recursive: true })
    await writeFile(join(directory, name), content)
  }
  const unpacked = await openImageArchive(directory)
  t.after(() => unpacked.close())
  const sources = [
    await openBytes(t, bytes),
    await openBytes(t, gzipSync(bytes)),
    await openBytes(
      t,
      Buffer.concat([gzipSync(bytes.subarray(0, 5000)), gzipSync(bytes.subarray(5000))]),
    ),
    await openBytes(t, zstdCompressSync(bytes)),
    unpacked,
  ]
  for (const source of sources) {
    assert.deepEqual(source.images, sources[0]?.images)
    const { config, layers } = await readImage(source, source.images[0]?.digest ?? digestOf(bytes))
    assert.deepEqual(
      [config.bytes, ...layers.map((layer) => layer.bytes)],
      [image.config, ...image.layers],
    )
  }
})

test('of both formats in one file the OCI layout counts, unless a blob of it is missing', async (t) => {
  const [oci, docker] = [ociItems(image), dockerItems([image])]
  const both = await openBytes(t, tarFile([...oci, ...docker]))
  const alone = await openBytes(t, tarFile(oci))
  assert.deepEqual(both.images, alone.images)
  const partial = oci.filter(({ name }) => name !== `blobs/sha256/${hexOf(image.config)}`)
  const fallen = await openBytes(t, tarFile([...partial, ...docker]))
  assert.deepEqual(fallen.images[0]?.names, [image.name])
  assert.equal(await faultOf(t, tarFile(partial)), 'missing')
})

test('an archive of several images has all of them, with their names', async (t) => {
  const names = ['a:1', 'a:2', 'b:1']
  const images = names.map((name) => dockerImage(name, [layerOf(name)]))
  const source = await openBytes(t, tarFile(dockerItems(images)))
  assert.deepEqual(
    source.images.map((each) => each.names),
    names.map((name) => [name]),
  )
})

test('long names of GNU tar and PAX are read', async (t) => {
  const long = `${'d/'.repeat(80)}layer.tar`
  const [layer = Buffer.alloc(0)] = image.layers
  const single = dockerImage('app:1', [layer])
  const entry = { Config: 'c.json', RepoTags: ['app:1'], Layers: [long] }
  const rest = [
    { name: 'c.json', content: single.config },
    { name: 'manifest.json', content: JSON.stringify([entry]) },
  ]
  const gnu = { name: '././@LongLink', type: 'L', content: `${long}\0` }
  for (const extension of [gnu, paxItem({ path: long })]) {
    const source = await openBytes(
      t,
      tarFile([extension, { name: 'short', content: layer }, ...rest]),
    )
    assert.equal(source.images.length, 1)
  }
})

test('an archive that ends too early is incomplete, wherever it ends (S139, S143)', async (t) => {
  const small = dockerImage('app:1', [tarFile([{ name: 'a', content: 'b' }])])
  const bytes = tarFile(dockerItems([small]))
  for (let size = 0; size < bytes.length - 1024; size += 512)
    assert.equal(await faultOf(t, bytes.subarray(0, size)), 'incomplete', `${size} bytes`)
  const packed = gzipSync(bytes)
  assert.equal(await faultOf(t, packed.subarray(0, packed.length - 9)), 'incomplete')
  const zstd = zstdCompressSync(bytes)
  assert.equal(await faultOf(t, zstd.subarray(0, zstd.length - 5)), 'incomplete')
})

const hostile: readonly (readonly [string, readonly TarItem[]])[] = [
  ['a name that leaves the archive', [{ name: '../x' }]],
  ['a name within that leaves', [{ name: 'a/../../x' }]],
  ['an absolute name', [{ name: '/etc/x' }]],
  ['a drive', [{ name: 'C:x' }]],
  ['a backslash', [{ name: 'a\\x' }]],
  ['a device', [{ name: 'x', type: '3' }]],
  ['a FIFO', [{ name: 'x', type: '6' }]],
  ['a link that leaves', [{ name: 'x', type: '2', linkName: '../../etc/passwd' }]],
  ['an absolute link', [{ name: 'x', type: '2', linkName: '/etc/passwd' }]],
  ['a hard link that leaves', [{ name: 'x', type: '1', linkName: '../x' }]],
  ['a name twice', [{ name: 'x' }, { name: './x' }]],
  [
    'index.json twice',
    [
      { name: 'index.json', content: '{}' },
      { name: 'index.json', content: '{}' },
    ],
  ],
  ['a size that is no number', [{ name: 'x', size: '12x' }]],
  ['a negative size', [{ name: 'x', size: Buffer.alloc(12, 0xff) }]],
  ['a negative PAX size', [paxItem({ size: '-5' }), { name: 'x' }]],
  ['a NUL in a PAX name', [paxItem({ path: 'a\0b' }), { name: 'x' }]],
  ['a corrupt PAX record', [{ name: 'pax', type: 'x', content: '99 path=x\n' }, { name: 'x' }]],
  ['a sparse file', [paxItem({ 'GNU.sparse.major': '1' }), { name: 'x' }]],
]

test('an archive with a hostile entry is rejected (S144, S145)', async (t) => {
  for (const [what, items] of hostile)
    assert.equal(await faultOf(t, tarFile([...items, ...dockerItems([image])])), 'invalid', what)
})

test('an archive beyond the limits is rejected (S144)', async (t) => {
  const limits = { ...defaultLimits, entries: 100, document: 10_000, nameParts: 20, name: 1000 }
  const many = Array.from({ length: 101 }, (_, at) => ({ name: `f${at}` }))
  const cases: readonly (readonly [string, readonly TarItem[]])[] = [
    ['entries', many],
    ['a long manifest.json', [{ name: 'manifest.json', content: `[${' '.repeat(20_000)}]` }]],
    ['a name of many parts', [paxItem({ path: 'a/'.repeat(50) }), { name: 'x' }]],
    ['a long name', [paxItem({ path: 'a'.repeat(1500) }), { name: 'x' }]],
    ['a long header', [paxItem({ comment: 'a'.repeat(5000) }), { name: 'x' }]],
  ]
  for (const [what, items] of cases)
    assert.equal(await faultOf(t, tarFile(items), { limits }), 'too-large', what)
})

test('what decompresses beyond the limits is rejected (S144)', async (t) => {
  const zeros = gzipSync(Buffer.alloc(80 * 1024 * 1024))
  assert.equal(await faultOf(t, zeros), 'too-large')
  const limits = { ...defaultLimits, size: 100_000 }
  assert.equal(await faultOf(t, gzipSync(Buffer.alloc(200_000)), { limits }), 'too-large')
})

test('other content than the digest in a name is rejected (S146)', async (t) => {
  const flip = (items: readonly TarItem[], ending: string) =>
    items.map((item) => {
      if (!item.name.endsWith(ending)) return item
      const content = Buffer.from(item.content ?? '')
      content[content.length - 1] = (content.at(-1) ?? 0) ^ 1
      return { ...item, content }
    })
  const [layer = Buffer.alloc(0)] = image.layers
  const packed = dockerItems([dockerImage('app:1', [layer])]).map((item) =>
    item.name.endsWith('layer.tar') ? { ...item, content: gzipSync(image.layers[1] ?? '') } : item,
  )
  for (const items of [
    packed,
    flip(packed, 'layer.tar'),
    flip(dockerItems([image]), 'layer.tar'),
    flip(ociItems(image), hexOf(layer)),
    flip(ociItems(image), hexOf(image.config)),
    [...dockerItems([image]).filter(({ name }) => !name.endsWith('.json'))].concat(
      { name: `${hexOf(image.config)}.json`, content: `${image.config.toString()} ` },
      dockerItems([image]).filter(({ name }) => name === 'manifest.json'),
    ),
  ])
    assert.equal(await faultOf(t, tarFile(items)), 'invalid')
})

test('other files are no image archives', async (t) => {
  assert.equal(await faultOf(t, tarFile([{ name: 'hello.txt', content: 'hello' }])), 'not-an-image')
  assert.equal(await faultOf(t, Buffer.alloc(2048, 'garbage')), 'invalid')
  assert.equal(
    await faultOf(t, Buffer.concat([gzipSync(tarFile([])), Buffer.alloc(10)])),
    'invalid',
  )
})

test('of a layer with another digest, the last bytes are not read', async (t) => {
  const large = dockerImage('app:1', [layerOf('large', 500_000)])
  const [layer = Buffer.alloc(0)] = large.layers
  const items = ociItems(large).map((item) => {
    if (!item.name.endsWith(hexOf(layer))) return item
    const content = Buffer.from(layer)
    content[0] = 1
    return { ...item, content }
  })
  const source = await openBytes(t, tarFile(items))
  for (const start of [0, 1_000_000]) {
    let got = start
    const blob = { digest: digestOf(layer), size: layer.length }
    await assert.rejects(
      async () => {
        for await (const chunk of source.read(blob, { start })) got += chunk.length
      },
      { fault: 'invalid' },
    )
    assert.ok(got < layer.length, `${got} bytes`)
  }
})

test('a file that changes after it was verified is not read to its end', async (t) => {
  const bytes = tarFile(ociItems(image))
  const path = await fileOf(t, bytes)
  const source = await openImageArchive(path)
  t.after(() => source.close())
  await utimes(path, new Date(), new Date(0))
  const [layer = Buffer.alloc(0)] = image.layers
  const read = bytesOf(source.read({ digest: digestOf(layer), size: layer.length }))
  await assert.rejects(read, { fault: 'changed' })
})

test('a link is not followed (S147)', async (t) => {
  const directory = await ownDirectory(t)
  await writeFile(join(directory, 'file'), tarFile(dockerItems([image])))
  await symlink('file', join(directory, 'link'))
  await assert.rejects(openImageArchive(join(directory, 'link')), { code: 'ELOOP' })
})

test('no bytes make the reader throw anything but an ArchiveError', async (t) => {
  const valid = tarFile(dockerItems([dockerImage('a:1', [tarFile([{ name: 'a', content: 'b' }])])]))
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 6 }),
      async (changes) => {
        const bytes = Buffer.from(valid)
        for (const [at, value] of changes) bytes[at] = value
        await faultOf(t, bytes)
      },
    ),
    { numRuns: 150 },
  )
})
