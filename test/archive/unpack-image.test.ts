import assert from 'node:assert/strict'
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import {
  ArchiveError,
  archiveBytes,
  fileAsImage,
  type ImageSource,
  openImageArchive,
  unpackImage,
} from '../../src/archive/archive.ts'
import { defaultLimits, type Limits } from '../../src/archive/limits.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { bytesOf, dockerImage, ociItems } from '../support/archives.ts'
import { ownDirectory } from '../support/directory.ts'
import { paxItem, type TarItem, tarFile } from '../support/tar-file.ts'

const platform = 'linux/amd64'
const anyDigest = digestOf(Buffer.alloc(0))

/** An image of these layers, as a source. */
function sourceOf(layers: readonly Buffer[]): ImageSource {
  const items = ociItems(dockerImage('app:1', layers))
  const blobs = items
    .filter(({ name }) => name.startsWith('blobs/'))
    .map(({ content }) => Buffer.from(content ?? ''))
  const bytesOfDigest = (digest: string) =>
    blobs.find((bytes) => digestOf(bytes) === digest) ?? Buffer.alloc(0)
  const [manifest = Buffer.alloc(0)] = blobs
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  return {
    images: [{ names: [], digest: digestOf(manifest) }],
    manifest: async (digest) => ({ digest, mediaType, bytes: bytesOfDigest(digest) }),
    async *read({ digest }) {
      const bytes = bytesOfDigest(digest)
      // Chunks that end anywhere: headers and contents are cut.
      for (let at = 0; at < bytes.length; at += 777) yield bytes.subarray(at, at + 777)
    },
    close: async () => {},
  }
}

type Options = { readonly limits?: Limits; readonly compress?: (bytes: Buffer) => Buffer }

async function unpack(
  directory: string,
  layers: readonly (readonly TarItem[])[],
  { limits = defaultLimits, compress = (bytes) => bytes }: Options = {},
) {
  const source = sourceOf(layers.map((items) => compress(tarFile(items))))
  const digest = source.images[0]?.digest ?? anyDigest
  return unpackImage(source, digest, { directory, platform, limits })
}

/** All that is below a directory: content of files, `/` for directories, `-> target` for links. */
async function treeOf(directory: string, below = ''): Promise<Readonly<Record<string, string>>> {
  const tree: Record<string, string> = {}
  for (const entry of await readdir(join(directory, below), { withFileTypes: true })) {
    const name = below === '' ? entry.name : `${below}/${entry.name}`
    if (entry.isSymbolicLink()) tree[name] = `-> ${await readlink(join(directory, name))}`
    else if (entry.isFile()) tree[name] = await readFile(join(directory, name), 'utf8')
    else Object.assign(tree, { [name]: '/' }, await treeOf(directory, name))
  }
  return tree
}

const file = (name: string, content = name): TarItem => ({ name, content })
const folder = (name: string, mode = 0o755): TarItem => ({ name, type: '5', mode })
const link = (name: string, linkName: string): TarItem => ({ name, type: '2', linkName })
const hard = (name: string, linkName: string): TarItem => ({ name, type: '1', linkName })

test('layers are unpacked in their order, with whiteouts and opaque directories', async (t) => {
  const directory = join(await ownDirectory(t), 'new')
  const unpacked = await unpack(directory, [
    [folder('./'), folder('etc/'), file('etc/a'), file('etc/b'), file('lib/x'), file('opt/old/y')],
    [file('etc/.wh.a', ''), file('etc/b', 'second'), file('lib', 'now a file')],
    [file('opt/new'), file('opt/.wh..wh..opq', ''), file('.wh.lib', ''), file('lib/z')],
    [file('.wh..wh.plnk/1', ''), link('bin', 'usr/bin')],
  ])
  assert.deepEqual(await treeOf(directory), {
    bin: '-> usr/bin',
    etc: '/',
    'etc/b': 'second',
    lib: '/',
    'lib/z': 'lib/z',
    opt: '/',
    'opt/new': 'opt/new',
  })
  assert.equal(unpacked.skipped, 0)
})

test('a whiteout hides only what lower layers have, wherever it is in its layer', async (t) => {
  const directory = await ownDirectory(t)
  await unpack(directory, [
    [file('a/lower'), file('a/b/lower'), file('c/lower')],
    [file('a/upper'), file('a/b/upper'), file('.wh.a', ''), file('c/.wh..wh..opq', '')],
  ])
  assert.deepEqual(await treeOf(directory), {
    a: '/',
    'a/b': '/',
    'a/b/upper': 'a/b/upper',
    'a/upper': 'a/upper',
    c: '/',
  })
})

test('compressed layers are unpacked as well', async (t) => {
  for (const compress of [gzipSync, zstdCompressSync]) {
    const directory = await ownDirectory(t)
    await unpack(directory, [[file('a')], [file('b')]], { compress })
    assert.deepEqual(await treeOf(directory), { a: 'a', b: 'b' })
  }
})

test('modes are kept, but for setuid and setgid', async (t) => {
  const directory = await ownDirectory(t)
  await unpack(directory, [
    [folder('sealed', 0o555), { ...file('sealed/run'), mode: 0o6755 }, folder('tmp', 0o1777)],
    [file('sealed/late'), file('made/by/us')],
  ])
  const modeOf = async (name: string) => (await lstat(join(directory, name))).mode & 0o7777
  assert.equal(await modeOf('sealed'), 0o555)
  assert.equal(await modeOf('sealed/run'), 0o755)
  assert.equal(await modeOf('tmp'), 0o1777)
  assert.equal(await modeOf('made/by'), 0o755)
  assert.equal((await lstat(join(directory, 'sealed/run'))).mtimeMs, 0o14700000000 * 1000)
})

test('hard links share one file, and an upper layer changes one name only', async (t) => {
  const directory = await ownDirectory(t)
  await unpack(directory, [
    [file('a'), hard('b', 'a'), hard('same', './a'), link('l', 'a'), hard('m', 'l')],
    [file('b', 'changed'), hard('deep/c', '/a')],
  ])
  assert.deepEqual(await treeOf(directory), {
    a: 'a',
    b: 'changed',
    deep: '/',
    'deep/c': 'a',
    l: '-> a',
    m: '-> a',
    same: 'a',
  })
  const inodes = await Promise.all(
    ['a', 'same', 'deep/c'].map(async (name) => (await lstat(join(directory, name))).ino),
  )
  assert.equal(new Set(inodes).size, 1)
})

test('devices and FIFOs are counted, not created', async (t) => {
  const directory = await ownDirectory(t)
  const devices = ['3', '4', '6'].map((type) => ({ name: `dev/${type}`, type }))
  const { skipped } = await unpack(directory, [[...devices, file('x')]])
  assert.equal(skipped, 3)
  assert.deepEqual(await treeOf(directory), { dev: '/', x: 'x' })
})

/** Beside the directory to unpack into: `canary/file`, which no image may change. */
async function withCanary(t: TestContext) {
  const scene = await ownDirectory(t)
  await mkdir(join(scene, 'canary'))
  await writeFile(join(scene, 'canary/file'), 'alive')
  const directory = join(scene, 'target')
  const assertAlive = async (what: string) => {
    assert.deepEqual(await treeOf(join(scene, 'canary')), { file: 'alive' }, what)
    assert.deepEqual((await readdir(scene)).sort(), ['canary', 'target'], what)
    assert.equal((await lstat(join(scene, 'canary'))).mode & 0o777, 0o755, what)
  }
  return { scene, directory, canary: join(scene, 'canary'), assertAlive }
}

test('a hostile layer is rejected, and nothing is left of it or written outside (S145)', async (t) => {
  const { directory, canary, assertAlive } = await withCanary(t)
  const cases: readonly (readonly [string, readonly TarItem[]])[] = [
    ['a name that leaves', [file('../canary/file', 'dead')]],
    ['a name within that leaves', [file('a/../../canary/file', 'dead')]],
    ['a name of two dots', [folder('..', 0o777)]],
    ['a file through an absolute link', [link('a', canary), file('a/file', 'dead')]],
    ['a file through a relative link', [link('a', '../canary'), file('a/file', 'dead')]],
    ['a file through two links', [link('a', '..'), link('b', 'a/canary'), file('b/file', 'dead')]],
    ['a directory through a link', [link('a', '..'), folder('a/canary', 0o777)]],
    ['a directory below a link', [link('a', canary), folder('a/new')]],
    ['a link through a link', [link('a', canary), link('a/file', '/dead')]],
    ['a hard link through a link', [link('a', canary), hard('b', 'a/file')]],
    ['a hard link that leaves', [hard('b', '../canary/file')]],
    ['a hard link to a directory', [folder('d'), hard('b', 'd')]],
    ['a hard link to nothing', [hard('b', 'a')]],
    ['a file below a file', [file('a'), file('a/b')]],
    ['a whiteout of the parent', [file('.wh...', '')]],
    ['a whiteout of the directory', [file('.wh..', '')]],
    ['a whiteout without a name', [file('.wh.', '')]],
    ['a NUL in a name', [paxItem({ path: 'a\0b' }), file('x')]],
    ['a NUL in a link', [paxItem({ linkpath: 'a\0b' }), link('x', 'y')]],
    ['a file as root', [{ name: './', type: '0', content: 'x' }]],
    ['a sparse file', [{ name: 'x', type: 'S' }]],
    ['an unknown type', [{ name: 'x', type: 'Q' }]],
  ]
  for (const [what, items] of cases) {
    await assert.rejects(unpack(directory, [[file('kept'), ...items]]), { fault: 'invalid' }, what)
    assert.deepEqual(await readdir(directory), [], what)
    await assertAlive(what)
  }
})

test('links of an image are written, and never followed to what they name (S145)', async (t) => {
  const { directory, canary, assertAlive } = await withCanary(t)
  await mkdir(directory)
  const own = async () => mkdtemp(join(directory, 'x-'))
  const cases: readonly (readonly [string, readonly (readonly TarItem[])[]])[] = [
    ['a file over a link', [[link('a', join(canary, 'file')), file('a', 'new')]]],
    ['a directory over a link', [[link('a', canary), folder('a', 0o777), file('a/file', 'new')]]],
    ['a hard link over a link', [[file('f'), link('a', join(canary, 'file')), hard('a', 'f')]]],
    ['below a link of a lower layer', [[link('a', canary)], [file('a/file', 'new')]]],
    ['a whiteout of a link', [[link('a', canary)], [file('.wh.a', '')]]],
    ['a whiteout below a link', [[link('a', canary)], [file('a/.wh.file', '')]]],
    ['an opaque link', [[link('a', canary)], [file('a/.wh..wh..opq', '')]]],
    [
      'a hard link to a link',
      [[link('a', join(canary, 'file')), hard('b', 'a'), file('b', 'new')]],
    ],
    ['an absolute name', [[file(join(canary, 'file'), 'new')]]],
    ['a mode for what a link replaced', [[folder('a', 0o777)], [link('a', canary)]]],
  ]
  for (const [what, layers] of cases) {
    await unpack(await own(), layers)
    await assertAlive(what)
  }
})

test('a directory that is not empty stays as it is', async (t) => {
  const directory = await ownDirectory(t)
  await writeFile(join(directory, 'mine'), 'mine')
  await assert.rejects(unpack(directory, [[file('mine', 'other')]]), { fault: 'invalid' })
  assert.deepEqual(await treeOf(directory), { mine: 'mine' })
})

test('an image beyond the limits is rejected, and nothing is left of it (S144)', async (t) => {
  const directory = await ownDirectory(t)
  const limits = { ...defaultLimits, entries: 10, size: 10_000, name: 1000, nameParts: 20 }
  const many = Array.from({ length: 6 }, (_, at) => file(`f${at}`))
  const large = file('large', 'x'.repeat(6000))
  const cases: readonly (readonly [string, readonly (readonly TarItem[])[]])[] = [
    ['entries of all layers', [many, many]],
    ['bytes of all layers', [[large], [large]]],
    ['a long name', [[paxItem({ path: 'a'.repeat(1500) }), file('x')]]],
    ['a name of many parts', [[paxItem({ path: 'a/'.repeat(50) }), file('x')]]],
    ['a header of gigabytes', [[{ name: 'pax', type: 'x', size: '77777777777\0' }]]],
  ]
  for (const [what, layers] of cases) {
    await assert.rejects(unpack(directory, layers, { limits }), { fault: 'too-large' }, what)
    assert.deepEqual(await readdir(directory), [], what)
  }
  const zeros = [file('zeros', '\0'.repeat(80 * 1024 * 1024))]
  await assert.rejects(unpack(directory, [zeros], { compress: gzipSync }), { fault: 'too-large' })
  assert.deepEqual(await readdir(directory), [])
})

test('a layer with other bytes than its digest says leaves nothing', async (t) => {
  const directory = await ownDirectory(t)
  const source = sourceOf([tarFile([file('a'), file('b')])])
  const flipped: ImageSource = {
    ...source,
    async *read(blob, options) {
      const bytes = await bytesOf(source.read(blob, options))
      bytes[512] = 0x78
      yield bytes
    },
  }
  const digest = source.images[0]?.digest ?? anyDigest
  await assert.rejects(unpackImage(flipped, digest, { directory, platform }), ArchiveError)
  assert.deepEqual(await readdir(directory), [])
})

test('a layer that ends too early is incomplete, and one without an end mark is not', async (t) => {
  const bytes = tarFile([file('a', 'x'.repeat(2000))], { end: false })
  for (const length of [100, 512 + 1, 512 + 1999]) {
    const source = sourceOf([bytes.subarray(0, length)])
    const directory = await ownDirectory(t)
    const options = { directory, platform }
    const unpacked = unpackImage(source, source.images[0]?.digest ?? anyDigest, options)
    await assert.rejects(unpacked, { fault: 'incomplete' }, `${length}`)
  }
  const source = sourceOf([bytes])
  const directory = await ownDirectory(t)
  await unpackImage(source, source.images[0]?.digest ?? anyDigest, { directory, platform })
  assert.equal((await readFile(join(directory, 'a'))).length, 2000)
})

test('the image of a file is that file again, also from an archive', async (t) => {
  const scene = await ownDirectory(t)
  await writeFile(join(scene, 'model.bin'), 'weights')
  const made = await fileAsImage(join(scene, 'model.bin'))
  const archive = join(scene, 'model.tar')
  await writeFile(archive, await bytesOf(archiveBytes(made, made.images, { platform })))
  const read = await openImageArchive(archive)
  for (const [at, source] of [made, read].entries()) {
    const directory = join(scene, `out-${at}`)
    await unpackImage(source, source.images[0]?.digest ?? anyDigest, { directory, platform })
    assert.deepEqual(await treeOf(directory), { 'model.bin': 'weights' })
    await source.close()
  }
})

const part = fc.constantFrom('a', 'b', 'c')
const path = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
/** Unlike how `treeOf` writes directories and links. */
const text = fc.string().map((any) => `=${any}`)
const change = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('file'), path, text }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('hidden'), path, text: fc.constant('') }) },
)

test('any layers give the files that their changes say, one after the other', async (t) => {
  const scene = await ownDirectory(t)
  const layers = fc.array(change, { maxLength: 12 })
  const property = fc.asyncProperty(layers, async (changes) => {
    const files = new Map<string, string>()
    const remove = (name: string) => {
      for (const other of files.keys())
        if (other === name || other.startsWith(`${name}/`)) files.delete(other)
    }
    const items = changes.map(({ kind, path: name, text }): readonly TarItem[] => {
      remove(name)
      if (kind === 'hidden') return [file(name.replace(/[^/]+$/, '.wh.$&'), '')]
      // A parent that was a file becomes a directory.
      for (const other of files.keys()) if (name.startsWith(`${other}/`)) files.delete(other)
      files.set(name, text)
      return [file(name, text)]
    })
    const directory = await mkdtemp(join(scene, 'p-'))
    await unpack(directory, items)
    const tree = Object.entries(await treeOf(directory)).filter(([, text]) => text !== '/')
    assert.deepEqual(new Map(tree.sort()), new Map([...files].sort()))
  })
  await fc.assert(property, { numRuns: 60 })
})
