import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { test } from 'node:test'
import { choosePlaces } from '../../src/index/places.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { makeImage } from '../support/images.ts'
import { newRoot, untilVerified, useIndex } from './use-index.ts'
import { createVolume } from './volume.ts'

const ext4 = 0xef53
const nfs = 0x6969
const app = parseRepositoryName('p/app')

test('database and journal are on the volume', async () => {
  const root = await newRoot()
  const directory = join(root, '_berth')
  assert.deepEqual(await choosePlaces({ directory, fallbacks: [join(root, 'other')] }), {
    database: join(directory, 'index.db'),
    journal: join(directory, 'journal'),
    cleanMark: join(directory, 'clean'),
  })
  assert.deepEqual(await readdir(root), ['_berth'])
})

test('on a network file system there is only the journal', async () => {
  const root = await newRoot()
  const directory = join(root, '_berth')
  const other = join(root, 'other')
  const fileSystemOf = async (path: string) => (path === directory ? nfs : ext4)
  const places = await choosePlaces({ directory, fallbacks: [other], fileSystemOf })
  assert.equal(dirname(places.database), other)
  assert.equal(places.journal, join(directory, 'journal'))
  const elsewhere = await choosePlaces({
    directory: join(root, 'second'),
    fallbacks: [other],
    fileSystemOf: async (path) => (path === other ? ext4 : 0xff534d42 | 0),
  })
  assert.notEqual(basename(elsewhere.database), basename(places.database))
})

test('a directory that another user could have prepared is no place', async () => {
  const root = await newRoot()
  const [open, link, target] = ['open', 'link', 'target'].map((name) => join(root, name))
  assert.ok(open !== undefined && link !== undefined && target !== undefined)
  await mkdir(open)
  await chmod(open, 0o777)
  await mkdir(target, 0o700)
  await symlink(target, link)
  const directory = join(root, '_berth')
  const fileSystemOf = async (path: string) => (path === directory ? nfs : ext4)
  const choose = async (...fallbacks: readonly string[]) =>
    dirname((await choosePlaces({ directory, fallbacks, fileSystemOf })).database)
  assert.equal(await choose(open, link, target), target)
})

test('without any suitable directory the database is in memory', async (t) => {
  const root = await newRoot()
  const volume = createVolume()
  const { index, directory } = useIndex(t, {
    root,
    source: volume.source,
    fallbacks: [join(root, 'other')],
    fileSystemOf: async () => nfs,
  })
  await untilVerified(index)
  index.apply(volume.pushImage('p/app', makeImage(), 1000, 'v1'))
  assert.deepEqual((await index.tags(app, {})).entries, ['v1'])
  await index.close()
  assert.deepEqual((await readdir(directory)).toSorted(), ['clean', 'journal'])
})

test('nothing is written to a volume that belongs to another registry', async () => {
  const root = await newRoot()
  const other = join(root, 'other')
  const directory = join(root, 'volume', '_berth')
  const options = { directory, fallbacks: [other], ownsVolume: async () => false }
  const places = await choosePlaces(options)
  assert.equal(dirname(places.database), other)
  assert.deepEqual([places.journal, places.cleanMark], [undefined, undefined])
  assert.deepEqual(await readdir(root), ['other'])
  await mkdir(dirname(directory))

  await writeFile(places.database, 'x')
  await choosePlaces({ directory, fallbacks: [other] })
  assert.deepEqual(await readdir(other), [], 'the database of before is deleted')
})

test('a volume that is not mounted is not made', async () => {
  const root = await newRoot()
  const places = await choosePlaces({ directory: join(root, 'volume', '_berth'), fallbacks: [] })
  assert.equal(places.database, ':memory:')
  assert.deepEqual(await readdir(root), [])
})

test('a directory that cannot be made is no place', async () => {
  const root = await newRoot()
  await writeFile(join(root, 'file'), '')
  const other = join(root, 'other')
  await mkdir(other)
  await chmod(other, 0o700)
  const places = await choosePlaces({
    directory: join(root, 'file', '_berth'),
    fallbacks: [join(root, 'file'), other],
  })
  assert.equal(dirname(places.database), other)
})
