import assert from 'node:assert/strict'
import { mkdir, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { type FoundBlob, scanBlobs } from '../../../src/store/cache/scan.ts'
import { blobsDirectory } from '../../../src/store/paths.ts'
import { ownDirectory } from '../../support/directory.ts'
import { placeBlob } from '../../support/disk.ts'
import { blobOf, randomBlob } from '../../support/images.ts'

async function scan(root: string): Promise<readonly FoundBlob[]> {
  const found: FoundBlob[] = []
  for await (const batch of scanBlobs(root)) found.push(...batch.found)
  return found
}

test('all blobs are found, with their disk use and time', async (t) => {
  const root = await ownDirectory(t)
  const blobs = [
    randomBlob(1),
    randomBlob(5000),
    blobOf(Buffer.alloc(0)),
    blobOf(Buffer.from('x'), 'sha512'),
  ]
  for (const blob of blobs) await utimes(await placeBlob(root, blob), 1000, 1000)
  const expected = blobs.map(({ digest, bytes }) => ({
    digest,
    size: Math.ceil(bytes.length / 4096) * 4096,
    modified: 1_000_000,
  }))
  assert.deepEqual(new Set(await scan(root)), new Set(expected))
})

test('an empty directory has no blobs', async (t) => {
  assert.deepEqual(await scan(join(await ownDirectory(t), 'none')), [])
})

test('other files are ignored', async (t) => {
  const root = await ownDirectory(t)
  const emptied = async (): Promise<string> => {
    const path = await placeBlob(root, randomBlob(1))
    await rm(path)
    return path
  }
  await emptied()
  await mkdir(await emptied())
  await symlink('/etc/hostname', await emptied())
  await mkdir(join(blobsDirectory(root), 'sha256', 'ab', 'not-a-digest'), { recursive: true })
  await mkdir(join(blobsDirectory(root), 'md5', 'ab'), { recursive: true })
  await writeFile(join(blobsDirectory(root), 'sha256', 'file'), 'x')
  assert.deepEqual(await scan(root), [])
})

test('the directory that a kill left without its blob is removed', async (t) => {
  const root = await ownDirectory(t)
  const path = await placeBlob(root, randomBlob(1))
  await rm(path)
  assert.deepEqual(await scan(root), [])
  assert.deepEqual(await readdir(dirname(dirname(path))), [])
})
