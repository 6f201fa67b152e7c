import assert from 'node:assert/strict'
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Berth, removeBerth, startBerth } from '../support/berth.ts'
import { ownDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { writeVolume } from '../support/volume.ts'

type Storage = {
  readonly cache?: { readonly directory: string }
  readonly hosted?: { readonly directory: string }
  readonly directory?: string
}

async function start(t: TestContext, storage: Storage): Promise<Berth> {
  const berth = await startBerth({
    config: { upstreams: [{ url: 'http://127.0.0.1:9' }], hosted: [{ prefix: 'local' }], storage },
    directory: await ownDirectory(t),
  })
  t.after(() => removeBerth(berth))
  return berth
}

for (const [what, cache, hosted] of [
  ['one directory', 'data', 'data'],
  ['the one below the other', 'data', 'data/hosted'],
  ['the other below the one', 'data/cache', 'data'],
  ['one by a symbolic link', 'data', 'link'],
  ['nested below a symbolic link, and not made yet', 'data', 'link/new/hosted'],
] as const) {
  test(`cache and hosted repositories in ${what} are refused (3, C198)`, async (t) => {
    const root = await ownDirectory(t)
    await mkdir(join(root, 'data'))
    await symlink(join(root, 'data'), join(root, 'link'))
    const at = (path: string) => ({ directory: join(root, path) })
    await assert.rejects(
      start(t, { cache: at(cache), hosted: at(hosted) }),
      /storage\.hosted\.directory: .* is the same as .*, or one contains the other/,
    )
    assert.deepEqual(await readdir(join(root, 'data')), [])
  })
}

test('a hosted volume is not taken for a cache, and nothing in it is touched (3, C198)', async (t) => {
  const root = await ownDirectory(t)
  await writeVolume(root, 'local/app', 'v1', makeImage())
  const before = await readdir(root, { recursive: true })
  await assert.rejects(
    start(t, { cache: { directory: root }, hosted: { directory: join(root, '..', 'other') } }),
    /storage\.directory: .* is not empty and not a cache of Berth \(it has docker\)/,
  )
  assert.deepEqual(await readdir(root, { recursive: true }), before)
})

test("a directory with somebody's files is not taken for a cache (3, C198)", async (t) => {
  const root = await ownDirectory(t)
  await writeFile(join(root, 'thesis.tex'), 'x')
  await assert.rejects(start(t, { cache: { directory: root } }), /it has thesis\.tex/)
  await rm(join(root, 'thesis.tex'))
  await start(t, { cache: { directory: root } })
})

test('a storage directory that cannot be made ends the start, and does not hang it (36)', async (t) => {
  await assert.rejects(
    start(t, { directory: '/proc/berth' }),
    /storage\.directory: .*ENOENT.*choose another directory/,
  )
})
