import assert from 'node:assert/strict'
import { appendFile, mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { openCachedLinks } from '../../../src/store/cache/cached-links.ts'
import { linksPath } from '../../../src/store/paths.ts'
import { createTemporary } from '../../../src/store/temporary.ts'
import { ownDirectory } from '../../support/directory.ts'
import { temporaryFiles } from '../../support/disk.ts'
import { d, name, tag, testLinkStore } from '../link-store.conformance.ts'

const mebibyte = 1024 * 1024

/** The links of a cache, in a directory of the test's own or in one of an earlier start. */
async function linksOf(
  t: TestContext,
  options: { readonly root?: string; readonly maxSize?: number } = {},
) {
  const root = options.root ?? (await ownDirectory(t))
  const temporary = createTemporary(root)
  const links = await openCachedLinks({
    root,
    temporary,
    maxSize: options.maxSize ?? 400 * mebibyte,
    onWritten: () => {},
  })
  return { root, links, one: links.of('one') }
}

testLinkStore('links of a cache', async (t) => {
  const { root, one } = await linksOf(t)
  return { links: one, leftovers: () => temporaryFiles(root) }
})

testLinkStore('links of a cache that were opened again', async (t) => {
  const { root, links } = await linksOf(t)
  await links.close()
  const { one } = await linksOf(t, { root })
  return { links: one, leftovers: () => temporaryFiles(root) }
})

test('a link of one upstream is not a link of another', async (t) => {
  const { links, one } = await linksOf(t)
  const other = links.of('other')
  await one.addBlob(name('a'), d('x'))
  await one.addManifest(name('a'), d('m'))
  await one.setTag(name('a'), tag('v1'), d('m'))
  assert.equal(await other.hasBlob(name('a'), d('x')), false)
  assert.equal(await other.hasManifest(name('a'), d('m')), false)
  assert.equal(await other.tags(name('a')), undefined)
  assert.deepEqual(await other.repositories(), [])
})

for (const end of ['stopped', 'killed'] as const) {
  test(`links outlive a start after Berth was ${end}, and removed links do not return`, async (t) => {
    const { root, links, one } = await linksOf(t)
    await one.addBlob(name('a'), d('x'))
    await one.addManifest(name('a'), d('m'))
    await one.setTag(name('a'), tag('v1'), d('m'))
    await one.setTag(name('a'), tag('v2'), d('m'))
    await one.setTag(name('a'), tag('v2'), d('n'))
    await one.removeTag(name('a'), tag('v1'))
    if (end === 'stopped') await links.close()
    const again = (await linksOf(t, { root })).one
    assert.ok(await again.hasBlob(name('a'), d('x')))
    assert.ok(await again.hasManifest(name('a'), d('m')))
    assert.deepEqual(await again.tags(name('a')), ['v2'])
    assert.equal((await again.tag(name('a'), tag('v2')))?.digest, d('n'))
    assert.deepEqual(await again.repositories(), ['a'])
  })
}

test('thousands of links stay within a part of the cache, and the last used are kept (44, C207)', async (t) => {
  const maxSize = 50 * mebibyte
  const { root, links, one } = await linksOf(t, { maxSize })
  await one.setTag(name('hot'), tag('v1'), d('hot'))
  for (let at = 0; at < 20_000; at += 1) {
    const adding = one.setTag(name('team/app'), tag(`v${at}`), d(`${at}`))
    if (at % 100 === 0) await adding
    if (at % 1000 === 0) assert.ok(await one.tag(name('hot'), tag('v1')))
    if (at % 5000 === 0) assert.ok((await stat(linksPath(root))).size < maxSize / 20)
  }
  await links.close()
  assert.ok((await stat(linksPath(root))).size < maxSize / 50)
  const again = (await linksOf(t, { root, maxSize })).one
  assert.equal((await again.tag(name('hot'), tag('v1')))?.digest, d('hot'))
  assert.equal((await again.tag(name('team/app'), tag('v19999')))?.digest, d('19999'))
  assert.equal(await again.tag(name('team/app'), tag('v0')), undefined)
})

test('repeated validations of a tag do not let the file grow', async (t) => {
  const { root, one } = await linksOf(t)
  for (let at = 0; at < 3000; at += 1) await one.setTag(name('a'), tag('v1'), d('m'))
  assert.ok((await stat(linksPath(root))).size < 100_000)
})

test('a repository whose manifests were all removed is not listed', async (t) => {
  const { one } = await linksOf(t, { maxSize: mebibyte })
  await one.addManifest(name('old'), d('m'))
  for (let at = 0; at < 2000; at += 1) await one.addManifest(name('new'), d(`${at}`))
  assert.deepEqual(await one.repositories(), ['new'])
})

test('a tag that was last validated in the future has age zero (C80)', async (t) => {
  const { root, links, one } = await linksOf(t)
  await one.setTag(name('a'), tag('v1'), d('m'))
  await links.close()
  const text = await readFile(linksPath(root), 'utf8')
  await writeFile(linksPath(root), text.replace(/\d+\n$/, '9000000000000\n'))
  const again = (await linksOf(t, { root })).one
  assert.deepEqual(await again.tag(name('a'), tag('v1')), { digest: d('m'), age: 0 })
})

test('a line that a kill truncated is ignored, and the next one is separate (C66)', async (t) => {
  const { root, one } = await linksOf(t)
  await one.addBlob(name('a'), d('x'))
  await one.addBlob(name('a'), d('y'))
  await truncate(linksPath(root), (await stat(linksPath(root))).size - 20)
  const second = (await linksOf(t, { root })).one
  assert.ok(await second.hasBlob(name('a'), d('x')))
  assert.equal(await second.hasBlob(name('a'), d('y')), false)
  await second.addBlob(name('a'), d('z'))
  const third = (await linksOf(t, { root })).one
  assert.ok(await third.hasBlob(name('a'), d('x')))
  assert.ok(await third.hasBlob(name('a'), d('z')))
})

test('a file that another program removed or changed is rewritten with the next link', async (t) => {
  const { root, one } = await linksOf(t)
  await one.addBlob(name('a'), d('w'))
  await one.addBlob(name('a'), d('x'))
  await rm(linksPath(root))
  await one.addBlob(name('a'), d('y'))
  await appendFile(linksPath(root), 'garbage')
  await one.addBlob(name('a'), d('z'))
  const again = (await linksOf(t, { root })).one
  for (const text of ['w', 'x', 'y', 'z']) assert.ok(await again.hasBlob(name('a'), d(text)), text)
})

test('the cache starts with any content of the file, and keeps later links (C60)', async (t) => {
  const root = await ownDirectory(t)
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      await writeFile(linksPath(root), bytes)
      const { links, one } = await linksOf(t, { root })
      await one.addManifest(name('a'), d('m'))
      assert.ok(await one.hasManifest(name('a'), d('m')))
      assert.deepEqual(await one.repositories(), ['a'])
      await links.close()
    }),
    { numRuns: 50 },
  )
})

test('an endless file, or something else in its place, is ignored (T13)', async (t) => {
  const root = await ownDirectory(t)
  await writeFile(linksPath(root), 'x'.repeat(mebibyte))
  assert.deepEqual(await (await linksOf(t, { root })).one.repositories(), [])
  await rm(linksPath(root))
  await mkdir(linksPath(root))
  const { one } = await linksOf(t, { root })
  await assert.rejects(one.addManifest(name('a'), d('m')), { code: 'EISDIR' })
  assert.ok(await one.hasManifest(name('a'), d('m')))
  assert.deepEqual(await temporaryFiles(root), [])
})
