import assert from 'node:assert/strict'
import { open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { suite, type TestContext, test } from 'node:test'
import type { Index } from '../../src/index/index.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { newRoot, untilVerified, useIndex } from '../index/use-index.ts'
import { createVolume, type Volume } from '../index/volume.ts'
import { makeImage } from '../support/images.ts'
import { freeBytes, ownDisk, ownFileSystem, remount } from '../support/mounts.ts'
import { until } from '../support/until.ts'

const app = parseRepositoryName('p/app')
const mebibyte = 1024 * 1024

/** A volume with a few images, and its index. */
async function start(t: TestContext, root: string) {
  const volume = createVolume()
  for (let at = 1; at <= 20; at += 1) volume.pushImage('p/app', makeImage(), at, `v${at}`)
  const used = useIndex(t, { root, source: volume.source })
  await untilVerified(used.index)
  return { ...used, volume, root }
}

/** It answers, and with what is on the volume. */
async function assertRight(index: Index, { stored, repositories }: Volume): Promise<void> {
  await untilVerified(index)
  const { blobs, manifests, tags } = await index.totals()
  const repository = repositories.get(app)
  assert.deepEqual(
    [blobs, manifests, tags],
    [stored.size, repository?.manifests.size, repository?.tags.size],
  )
  assert.deepEqual(await index.unreferenced(undefined, 10), [])
}

/** What happens to the file of a database that is open. */
const deletions: Readonly<Record<string, (database: string) => Promise<unknown>>> = {
  'is deleted': (database) => rm(database),
  'is deleted with all that belongs to it': (database) =>
    rm(join(database, '..'), { recursive: true, maxRetries: 20 }),
  'is replaced by another one': async (database) => {
    const bytes = await readFile(database)
    await rm(database)
    await writeFile(database, bytes)
  },
}

suite('while it is open', () => {
  for (const [what, change] of Object.entries(deletions))
    test(`a database that ${what} is made again, and meanwhile it says so`, async (t) => {
      const { index, volume, database, metric, logs } = await start(t, await newRoot())
      await change(database)
      await until('it is noticed', async () =>
        assert.equal(await metric('berth_index_failures_total{kind="deleted"}'), 1),
      )
      const [warning] = logs().filter(({ level }) => level === 'warn')
      assert.match(JSON.stringify(warning), /was deleted/)
      index.apply(volume.pushImage('p/app', makeImage(), 100, 'new'))
      await assertRight(index, volume)
      assert.ok((await stat(database)).size > 0)
      await index.close()
      const again = useIndex(t, { root: join(database, '../..'), source: volume.source })
      await assertRight(again.index, volume)
    })

  test('a database that is overwritten does no harm beyond the next restart', async (t) => {
    const { index, volume, database, root } = await start(t, await newRoot())
    const { size } = await stat(database)
    const file = await open(database, 'r+')
    await file.write(Buffer.alloc(size, 0x5a), 0, size, 0)
    await file.close()
    index.apply(volume.pushImage('p/app', makeImage(), 100, 'new'))
    await index.close()
    const again = useIndex(t, { root, source: volume.source })
    await assertRight(again.index, volume)
  })
})

/** What one finds in place of a database at the start. */
const damages: Readonly<Record<string, (database: string) => Promise<unknown>>> = {
  'is something else': (database) => writeFile(database, 'not a database'.repeat(1000)),
  'is empty': (database) => truncate(database, 0),
  'was cut off': async (database) => truncate(database, (await stat(database)).size / 2),
  'has damaged pages': async (database) => {
    const { size } = await stat(database)
    const file = await open(database, 'r+')
    for (let at = 8192; at < size; at += 8192) await file.write(Buffer.alloc(512, 0x5a), 0, 512, at)
    await file.close()
  },
  'has another version': async (database) => {
    const other = new DatabaseSync(database)
    other.exec('PRAGMA user_version = 99')
    other.close()
  },
  'lacks a table': async (database) => {
    const other = new DatabaseSync(database)
    other.exec('DROP TABLE contents')
    other.close()
  },
  'has a value of another type': async (database) => {
    const other = new DatabaseSync(database)
    other.exec("UPDATE digests SET digest = 'x' || digest")
    other.close()
  },
}

suite('at the start', () => {
  for (const [what, damage] of Object.entries(damages))
    test(`a database that ${what} is made again`, async (t) => {
      const { index, volume, database, root } = await start(t, await newRoot())
      await index.close()
      await damage(database)
      const again = useIndex(t, { root, source: volume.source })
      await assertRight(again.index, volume)
    })
})

suite('a disk', () => {
  test('that is full makes it incomplete until there is space', async (t) => {
    const root = await ownFileSystem(t, `size=${8 * mebibyte}`)
    const { index, volume, metric, logs } = await start(t, root)
    const filler = join(root, 'filler')
    const fill = async () => writeFile(filler, Buffer.alloc(await freeBytes(root)), { flag: 'a' })
    await fill()
    await until('it fails', async () => {
      index.apply(volume.pushImage('p/app', makeImage(), 100, 'latest'))
      assert.ok((await metric('berth_index_failures_total{kind="unavailable"}')) > 0)
    })
    await until('it says so', () => assert.match(index.problem() ?? '', /full|disk I\/O error/))
    assert.equal(await metric('berth_index_complete'), 0)
    await assert.rejects(index.totals(), { code: 'UNAVAILABLE', status: 503 })
    const failures = logs().filter(({ level }) => level === 'warn').length
    assert.ok(failures < 20, `${failures} warnings`)
    await rm(filler)
    await assertRight(index, volume)
  })

  test('that becomes read-only, as after an error of the disk, leaves it its answers, in memory', async (t) => {
    const { directory } = await ownDisk(t, 32 * mebibyte)
    const { index, volume } = await start(t, directory)
    remount(directory, 'abort')
    index.apply(volume.pushImage('p/app', makeImage(), 100, 'latest'))
    await until('it begins anew', async () => {
      const { entries } = await index.tags(app, {})
      assert.ok(entries.some((tag) => tag === 'latest'))
    })
    await assertRight(index, volume)
  })

  test('that is read-only at the start, as well', async (t) => {
    const root = await ownFileSystem(t, 'size=8m')
    remount(root, 'ro')
    const { index, volume } = await start(t, root)
    await assertRight(index, volume)
  })
})
