import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { assertCache, markCache, markPath } from '../../src/store/cache/mark.ts'
import { overlap } from '../../src/store/roots.ts'
import { ownDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { writeVolume } from '../support/volume.ts'

test('identical or nested directories overlap, also by links, existing or not (C198)', async (t) => {
  const root = await ownDirectory(t)
  const at = (path: string) => join(root, path)
  await mkdir(at('a/b'), { recursive: true })
  await symlink(at('a'), at('link'))
  await symlink('nowhere', at('dangling'))
  for (const [one, other] of [
    ['a', 'a'],
    ['a', 'a/b'],
    ['a', 'a/new/deep'],
    ['new', 'new/deep'],
    ['a', 'link'],
    ['a', 'link/b'],
    ['a/new', 'link/new/deep'],
    ['a', 'x/../a'],
    ['', 'a'],
  ] as const) {
    assert.ok(await overlap(at(one), at(other)), `${one} ${other}`)
    assert.ok(await overlap(at(other), at(one)), `${other} ${one}`)
  }
  for (const [one, other] of [
    ['a', 'ab'],
    ['a/b', 'a/c'],
    ['link', 'new'],
    ['new', 'newer'],
  ] as const)
    assert.ok(!(await overlap(at(one), at(other))), `${one} ${other}`)
})

test('an empty directory may become a cache, and a marked directory is a cache', async (t) => {
  const root = await ownDirectory(t)
  await assertCache(join(root, 'new'))
  await assertCache(root)
  await mkdir(join(root, 'lost+found'))
  await assertCache(root)
  await markCache(root)
  await writeFile(join(root, 'anything'), 'x')
  await assertCache(root)
  assert.match(
    await readFile(markPath(root), 'utf8'),
    /^Signature: 8a477f597d28d172789f06886806bc55\n/,
  )
})

test('an unmarked cache of an earlier version is a cache', async (t) => {
  const root = await ownDirectory(t)
  await mkdir(join(root, 'docker/registry/v2/repositories/europe-docker.pkg.dev_0123456789ab/p'), {
    recursive: true,
  })
  await mkdir(join(root, 'tmp'))
  await assertCache(root)
  await rm(join(root, 'tmp'), { recursive: true })
  await writeFile(join(root, 'recency'), '')
  await assertCache(root)
})

test('a directory with other files, or a Distribution volume, is not a cache and is not changed (3, C198)', async (t) => {
  const files = await ownDirectory(t)
  await writeFile(join(files, 'thesis.tex'), 'x')
  await assert.rejects(
    assertCache(files),
    /is not empty and not a cache of Berth \(it has thesis.tex\)/,
  )
  await writeFile(
    markPath(files),
    'Signature: 8a477f597d28d172789f06886806bc55\n# another program\n',
  )
  await assert.rejects(assertCache(files), /not a cache of Berth/)
  assert.deepEqual((await readdir(files)).toSorted(), ['CACHEDIR.TAG', 'thesis.tex'])

  const volume = await ownDirectory(t)
  await writeVolume(volume, 'local/app', 'v1', makeImage())
  await assert.rejects(assertCache(volume), /not a cache of Berth \(it has docker\)/)
  await mkdir(join(volume, 'tmp'))
  await assert.rejects(assertCache(volume), /not a cache of Berth/)
})
