import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { repositoriesDirectory, tagLinkPath } from '../../../src/store/paths.ts'
import { hostedStore } from '../../support/hosted-store.ts'
import { d, name, tag } from '../link-store.conformance.ts'

test('links have the paths and contents of Distribution', async (t) => {
  const { root, store } = await hostedStore(t)
  const { links } = store
  await links.addBlob(name('team/app'), d('x'))
  await links.addManifest(name('team/app'), d('m'))
  await links.setTag(name('team/app'), tag('v1'), d('m'))
  const below = join(root, 'docker/registry/v2/repositories/team/app')
  const hex = (text: string) => d(text).slice('sha256:'.length)
  for (const [path, digest] of [
    [`_layers/sha256/${hex('x')}/link`, d('x')],
    [`_manifests/revisions/sha256/${hex('m')}/link`, d('m')],
    ['_manifests/tags/v1/current/link', d('m')],
  ] as const)
    assert.equal(await readFile(join(below, path), 'utf8'), digest)
})

test('a tag that was last validated in the future has age zero (C80)', async (t) => {
  const { root, store } = await hostedStore(t)
  const { links } = store
  await links.setTag(name('a'), tag('v1'), d('m'))
  const path = tagLinkPath(repositoriesDirectory(root), name('a'), tag('v1'))
  await utimes(path, 4e9, 4e9)
  assert.deepEqual(await links.tag(name('a'), tag('v1')), { digest: d('m'), age: 0 })
  await utimes(path, 1000, 1000)
  const known = await links.tag(name('a'), tag('v1'))
  assert.ok(known && known.age > 1e11)
})

const damages: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  empty: (path) => writeFile(path, ''),
  'cut off': (path) => writeFile(path, d('m').slice(0, 20)),
  'with a byte too many': (path) => writeFile(path, `${d('m')}\n`),
  garbage: (path) => writeFile(path, '\0'.repeat(71)),
  huge: (path) => writeFile(path, 'sha256:'.repeat(1_000_000)),
  'a directory': (path) => rm(path).then(() => mkdir(path)),
  'a symbolic link': (path) => rm(path).then(() => symlink('/etc/hostname', path)),
  'a FIFO': (path) => rm(path).then(() => execFileSync('mkfifo', [path])),
  'gone, but for its directory': (path) => rm(path),
  'a directory that is a file': (path) =>
    rm(dirname(path), { recursive: true }).then(() => writeFile(dirname(path), '')),
}

for (const [damage, inflict] of Object.entries(damages)) {
  test(`a tag's link that is ${damage} is a miss (C60, T13)`, async (t) => {
    const { root, store } = await hostedStore(t)
    const { links } = store
    await links.setTag(name('a'), tag('v1'), d('m'))
    const path = tagLinkPath(repositoriesDirectory(root), name('a'), tag('v1'))
    await inflict(path)
    assert.equal(await links.tag(name('a'), tag('v1')), undefined)
    await links.removeTag(name('a'), tag('v1'))
    await links.setTag(name('a'), tag('v1'), d('m'))
    assert.equal((await links.tag(name('a'), tag('v1')))?.digest, d('m'))
  })
}

test('creating an existing link does not write it again', async (t) => {
  const { root, store } = await hostedStore(t)
  const { links } = store
  await links.addBlob(name('a'), d('x'))
  const [path = ''] = (await readdir(root, { recursive: true })).filter((at) => at.endsWith('link'))
  const before = await stat(join(root, path))
  await links.addBlob(name('a'), d('x'))
  assert.equal((await stat(join(root, path))).ino, before.ino)
})
