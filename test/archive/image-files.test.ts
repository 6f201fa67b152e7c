import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import {
  compareImages,
  findFile,
  type ImageFile,
  imageFiles,
  layerFiles,
  readImageFile,
} from '../../src/archive/archive.ts'
import { layerBlob, textOf } from '../support/layer-blobs.ts'
import { type TarItem, tarFile } from '../support/tar-file.ts'

const file = (name: string, content = name): TarItem => ({ name, content })
const folder = (name: string, mode = 0o755): TarItem => ({ name, type: '5', mode })
const link = (name: string, linkName: string): TarItem => ({ name, type: '2', linkName })
const hard = (name: string, linkName: string): TarItem => ({ name, type: '1', linkName })
const whiteout = (name: string): TarItem => ({ name })

const blobsOf = (layers: readonly (readonly TarItem[])[]) =>
  layers.map((items) => layerBlob(gzipSync(tarFile(items)), { mediaType: 'any+gzip' }))

function summary({ path, type, layer, isRemoved, changes = [] }: ImageFile): string {
  const history = changes.map((one) => `${one.change[0]}${one.layer}`).join('')
  return `${isRemoved ? '-' : ''}${type} ${path} ${layer} ${history}`.trimEnd()
}

async function summaryOf(layers: readonly (readonly TarItem[])[]) {
  const { table } = await imageFiles(blobsOf(layers))
  return table.list({ isRecursive: true, limit: 10_000 }).rows.map(summary)
}

test('each path of an image tells which layers put it there, replaced or hid it', async () => {
  const layers = [
    [folder('etc/'), file('etc/a'), file('etc/b'), file('lib/x'), file('opt/old/y'), file('z')],
    [folder('etc/'), whiteout('etc/.wh.a'), file('etc/b', 'second'), file('lib', 'now a file')],
    [
      file('opt/new'),
      whiteout('opt/.wh..wh..opq'),
      whiteout('.wh.lib'),
      file('lib/z'),
      file('etc/a'),
    ],
    [link('z', 'etc/a'), folder('etc/', 0o700)],
  ]
  assert.deepEqual(await summaryOf(layers), [
    'directory etc 3 a0c3',
    'file etc/a 2 a0r1a2',
    'file etc/b 1 a0c1',
    'directory lib 2 a0c1c2',
    '-file lib/x 0 a0r1',
    'file lib/z 2',
    'directory opt 0',
    'file opt/new 2',
    '-directory opt/old 0 a0r2',
    '-file opt/old/y 0 a0r2',
    'symlink z 3 a0c3',
  ])
})

test('a whiteout hides what lower layers have, wherever it is in its layer', async () => {
  const lower = [file('d/old'), file('d/both')]
  const upper = [file('d/new'), file('d/both', '2'), whiteout('.wh.d')]
  for (const items of [upper, upper.toReversed()])
    assert.deepEqual(await summaryOf([lower, items]), [
      `directory d ${items === upper ? 0 : 1}${items === upper ? '' : ' a0c1'}`,
      'file d/both 1 a0c1',
      'file d/new 1',
      '-file d/old 0 a0r1',
    ])
})

test('a file is counted once, whatever its names, and hidden bytes are those of their layer', async () => {
  const { totals, layers, table } = await imageFiles(
    blobsOf([
      [folder('bin'), file('bin/a', '12345'), hard('bin/b', 'bin/a'), file('big', 'x'.repeat(100))],
      [whiteout('.wh.big'), hard('c', 'bin/a'), link('l', 'c'), whiteout('bin/.wh.a')],
      [file('bin/d', '123')],
    ]),
  )
  assert.deepEqual(totals, { files: 1, directories: 1, links: 3, others: 0, size: 8, removed: 2 })
  assert.deepEqual(
    layers.map(({ from, size, hidden }) => [from, size, hidden]),
    [
      ['layer', 105, 105],
      ['layer', 0, 0],
      ['layer', 3, 0],
    ],
  )
  assert.deepEqual(table.find('bin')?.below, { rows: 3, files: 1, size: 8 })
  assert.equal(table.find('c')?.size, 5)
})

test('files are read through symbolic links, and hard links to lower layers', async () => {
  const layers = blobsOf([
    [file('usr/lib/os-release', 'ID=test'), link('etc/os-release', '../usr/lib/os-release')],
    [hard('hard', 'usr/lib/os-release'), link('bin', '/usr/lib'), link('loop', 'loop')],
    [file('usr/lib/os-release', 'ID=other'), link('out', '../../../etc/passwd')],
  ])
  const image = await imageFiles(layers)
  const read = async (path: string) => {
    const found = findFile(image, path)
    assert.ok(found, path)
    return textOf(readImageFile(layers, found))
  }
  assert.equal(await read('/etc/os-release'), 'ID=other')
  assert.equal(await read('hard'), 'ID=test')
  assert.equal(await read('./bin/../lib/os-release'), 'ID=other')
  for (const path of ['loop', 'out', 'nothing', 'etc/os-release/x'])
    assert.throws(() => findFile(image, path), { name: 'ArchiveError' })
})

test('a table is listed by directories, in pages', async () => {
  const names = ['a', 'a-b', 'a/b', 'a/b/c', 'a/z', 'a.d', 'b', 'ä'].map((name) =>
    file(`${name}/f`),
  )
  const { table } = await imageFiles(blobsOf([names]))
  const paths = (rows: readonly ImageFile[]) => rows.map(({ path }) => path).join(' ')
  assert.equal(paths(table.list().rows), 'a a-b a.d b ä')
  assert.equal(paths(table.list({ directory: 'a' }).rows), 'a/b a/f a/z')
  assert.equal(paths(table.list({ directory: 'nothing' }).rows), '')
  const all: string[] = []
  let after: string | undefined
  do {
    const page = table.list({ isRecursive: true, after, limit: 3 })
    all.push(...page.rows.map(({ path }) => path))
    after = page.next
  } while (after !== undefined)
  assert.equal(all.join(' '), paths(table.list({ isRecursive: true }).rows))
  assert.equal(all.length, table.rows)
})

test('an image with more paths, or bytes of paths, than the limits is refused', async () => {
  const layers = blobsOf([[file('a/b/c')], [file('d')]])
  await imageFiles(layers, { limits: { entries: 4, paths: 4 } })
  for (const limits of [{ entries: 3 }, { paths: 3 }])
    await assert.rejects(imageFiles(layers, { limits }), { fault: 'too-large' })
})

const names = ['a', 'b', 'a/b', 'a/c', 'a/b/c', 'b/c']
const anyItem = fc.oneof(
  fc.constantFrom(...names).map((name) => file(name)),
  fc.constantFrom(...names).map((name) => folder(name)),
  fc.tuple(fc.constantFrom(...names), fc.constantFrom(...names)).map(([a, b]) => hard(a, b)),
  fc.constantFrom('a/.wh.b', '.wh.a', '.wh.b', 'a/.wh..wh..opq', '.wh..wh..opq').map(whiteout),
)

test('whatever the layers are, what is listed is consistent', async () => {
  const anyLayers = fc.array(fc.array(anyItem, { maxLength: 6 }), { minLength: 1, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(anyLayers, async (layers) => {
      const { table, totals } = await imageFiles(blobsOf(layers))
      const { rows } = table.list({ isRecursive: true })
      const present = rows.filter(({ isRemoved }) => !isRemoved)
      const { files, directories, links, removed } = totals
      assert.equal(files + directories + links + removed, rows.length)
      assert.equal(removed, rows.length - present.length)
      for (const row of rows) {
        assert.deepEqual(table.find(row.path), row)
        const last = row.changes?.at(-1)?.change ?? 'added'
        assert.equal(last === 'removed', row.isRemoved === true)
      }
      for (const { path } of present) {
        const parent = path.slice(0, Math.max(path.lastIndexOf('/'), 0))
        const above = parent === '' ? undefined : table.find(parent)
        assert.ok(parent === '' || (above?.type === 'directory' && !above.isRemoved), path)
      }
    }),
    { numRuns: 8 },
  )
})

const configOf = (config: object) =>
  layerBlob(Buffer.from(JSON.stringify({ os: 'linux', config, rootfs: {} })))

test('two images are compared: configs, and files by type, size, mode, link and content', async () => {
  const base = [folder('etc'), file('etc/same'), file('etc/touched', 'text'), file('gone', '123')]
  const [shared] = blobsOf([base])
  assert.ok(shared)
  const before = {
    config: configOf({ Env: ['PATH=/bin', 'A=1'], Cmd: ['sh'], Labels: { x: '1' }, User: '' }),
    layers: [
      shared,
      ...blobsOf([[file('mode'), file('text', 'one'), link('l', 'a'), file('kind')]]),
    ],
  }
  const after = {
    config: configOf({ Env: ['PATH=/bin', 'A=2'], Cmd: ['sh', '-c'], Labels: { y: '1' } }),
    layers: [
      shared,
      ...blobsOf([
        [whiteout('.wh.gone'), file('etc/touched', 'text'), file('new', '1234')],
        [{ ...file('mode'), mode: 0o4755 }, file('text', 'two'), link('l', 'b'), folder('kind')],
      ]),
    ],
  }
  const { config, table, totals } = await compareImages(before, after)
  assert.deepEqual(config, [
    { field: 'config.Cmd', before: '["sh"]', after: '["sh","-c"]' },
    { field: 'config.Env.A', before: '"1"', after: '"2"' },
    { field: 'config.Labels.x', before: '"1"' },
    { field: 'config.Labels.y', after: '"1"' },
  ])
  const rows = table.list().rows
  assert.deepEqual(
    rows.map(({ path, change, fields = [] }) => [path, change, ...fields].join(' ')),
    [
      'gone removed',
      'kind changed type',
      'l changed link',
      'mode changed mode',
      'new added',
      'text changed content',
    ],
  )
  assert.deepEqual(totals, {
    added: { count: 1, size: 4 },
    removed: { count: 1, size: 3 },
    changed: { count: 4, before: 11, after: 7 },
  })
  const reads = shared.ranges.filter(({ start, end }) => start === 0 && end === shared.size)
  assert.equal(reads.length, 1, 'the layer that both have is read once')
  const same = await compareImages(before, before)
  assert.deepEqual([same.config, same.table.rows], [[], 0])
})

test('one layer is listed as it is: whiteouts are rows, and directories say what they hide', async () => {
  const layers = blobsOf([
    [file('etc/a'), file('etc/b'), file('opt/old')],
    [
      whiteout('etc/.wh.a'),
      whiteout('opt/.wh..wh..opq'),
      whiteout('.wh.lib'),
      folder('lib/'),
      file('lib/z', 'zz'),
      hard('lib/z2', 'lib/z'),
      hard('lib/far', 'etc/b'),
      whiteout('var/.wh..wh..opq'),
      folder('opt/'),
    ],
  ])
  const listed = await layerFiles(layers, 1)
  const rows = listed.table.list({ isRecursive: true }).rows
  assert.deepEqual(
    rows.map((row) => `${summary(row)}${row.isOpaque ? ' opaque' : ''}`),
    [
      'directory etc 1',
      'whiteout etc/a 1',
      'directory lib 1 opaque',
      'hardlink lib/far 1',
      'file lib/z 1',
      'hardlink lib/z2 1',
      'directory opt 1 opaque',
      'directory var 1 opaque',
    ],
  )
  assert.deepEqual(
    [listed.totals.files, listed.totals.removed, listed.layers],
    [1, 1, [{ from: 'layer', size: 2, hidden: 0 }]],
  )
  const read = (path: string) => textOf(readImageFile(layers, findFile(listed, path) as ImageFile))
  assert.equal(await read('lib/z2'), 'zz')
  assert.equal(layers[0]?.ranges.length, 0, 'no other layer is read')
  for (const path of ['etc/a', 'lib/far'])
    await assert.rejects(async () => read(path), { fault: 'missing' })
  await assert.rejects(layerFiles(layers, 2), { fault: 'missing' })
})
