import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import { createDiskLinks } from '../../src/store/links.ts'
import { repositoriesDirectory } from '../../src/store/paths.ts'
import { sweepLinks } from '../../src/store/sweep.ts'
import { ownDirectory } from '../support/directory.ts'
import { placeBlob } from '../support/disk.ts'
import { blobOf } from '../support/images.ts'
import { name, tag } from './link-store.conformance.ts'

const never = new AbortController().signal
const here = blobOf(Buffer.from('here'))
const long = blobOf(Buffer.from('long'), 'sha512')
const gone = blobOf(Buffer.from('gone'))

/** Links of one upstream to two blobs that are there. */
async function linksOf(t: TestContext) {
  const root = await ownDirectory(t)
  await placeBlob(root, here)
  await placeBlob(root, long)
  return { root, links: createDiskLinks({ root, scope: 'host_0123' }) }
}

test('links to what is there stay, links to what is gone go', async (t) => {
  const { root, links } = await linksOf(t)
  for (const { digest } of [here, long, gone]) {
    await links.addBlob(name('p/r'), digest)
    await links.addManifest(name('p/r'), digest)
  }
  await links.setTag(name('p/r'), tag('here'), here.digest)
  await links.setTag(name('p/r'), tag('long'), long.digest)
  await links.setTag(name('p/r'), tag('gone'), gone.digest)
  await sweepLinks(root, never)
  for (const { digest } of [here, long]) {
    assert.equal(await links.hasBlob(name('p/r'), digest), true)
    assert.equal(await links.hasManifest(name('p/r'), digest), true)
  }
  assert.equal(await links.hasBlob(name('p/r'), gone.digest), false)
  assert.equal(await links.hasManifest(name('p/r'), gone.digest), false)
  assert.deepEqual(await links.tags(name('p/r')), ['here', 'long'])
})

test('directories that are empty then go, and the repositories below others stay', async (t) => {
  const { root, links } = await linksOf(t)
  await links.addManifest(name('p'), gone.digest)
  await links.addManifest(name('p/r'), here.digest)
  await links.addManifest(name('q/r/s'), gone.digest)
  await links.setTag(name('q/r/s'), tag('v1'), gone.digest)
  await sweepLinks(root, never)
  assert.deepEqual(await links.repositories(), ['p/r'])
  assert.deepEqual(await readdir(`${repositoriesDirectory(root)}/host_0123`), ['p'])
})

test('where nothing is left, nothing is left', async (t) => {
  const { root, links } = await linksOf(t)
  await links.addBlob(name('a'), gone.digest)
  await sweepLinks(root, never)
  assert.deepEqual(await readdir(repositoriesDirectory(root)), [])
  await sweepLinks(root, never)
})

test('a sweep of what does not exist does nothing', async (t) => {
  await sweepLinks(await ownDirectory(t), never)
})

test('a sweep stops when it is told to', async (t) => {
  const { root, links } = await linksOf(t)
  await links.addBlob(name('a'), gone.digest)
  await assert.rejects(sweepLinks(root, AbortSignal.abort()), { name: 'AbortError' })
  assert.equal(await links.hasBlob(name('a'), gone.digest), true)
})

test('links that are made during a sweep may be lost, and are then made as before', async (t) => {
  const { root, links } = await linksOf(t)
  let sweeping = true
  const sweep = (async () => {
    try {
      for (let turn = 0; turn < 20; turn += 1) await sweepLinks(root, never)
    } finally {
      sweeping = false
    }
  })()
  while (sweeping) await links.addManifest(name('a/b'), gone.digest).catch(() => {})
  await sweep
  await links.addManifest(name('a/b'), gone.digest)
  assert.equal(await links.hasManifest(name('a/b'), gone.digest), true)
})
