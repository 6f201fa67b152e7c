import assert from 'node:assert/strict'
import { fstatSync } from 'node:fs'
import {
  chmod,
  type FileHandle,
  open,
  rename,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isUnchanged, type Stamp, stampOf } from '../../src/oci/file-stamp.ts'
import { hasName } from '../../src/store/file-status.ts'
import { ownDirectory } from '../support/directory.ts'

function statusOf(file: FileHandle) {
  return fstatSync(file.fd, { bigint: true })
}

/** A file that is open, and the stamp that it had. */
async function stamped(
  t: TestContext,
): Promise<{ readonly path: string; readonly file: FileHandle; readonly stamp: Stamp }> {
  const path = join(await ownDirectory(t), 'file')
  await writeFile(path, 'some bytes')
  await utimes(path, 1000, 1000)
  const file = await open(path)
  t.after(() => file.close())
  return { path, file, stamp: stampOf(await file.stat({ bigint: true })) }
}

test('an untouched file is unchanged', async (t) => {
  const { file, stamp } = await stamped(t)
  await file.read(Buffer.alloc(10), 0, 10, 0)
  assert.ok(isUnchanged(statusOf(file), stamp))
})

const changes: Readonly<Record<string, (path: string) => Promise<void>>> = {
  'written to': (path) => writeFile(path, 'more bytes'),
  'written to, and its times put back': async (path) => {
    await writeFile(path, 'more bytes')
    await utimes(path, 1000, 1000)
  },
  'cut off': (path) => truncate(path, 3),
  'made longer': (path) => writeFile(path, 'x', { flag: 'a' }),
  touched: (path) => utimes(path, 2000, 2000),
  'made writable': (path) => chmod(path, 0o666),
  'given another name': (path) => rename(path, `${path}.other`),
  'written to, and removed': async (path) => {
    await writeFile(path, 'more bytes')
    await unlink(path)
  },
}

for (const [what, change] of Object.entries(changes)) {
  test(`a file that was ${what} is changed`, async (t) => {
    const { path, file, stamp } = await stamped(t)
    await change(path)
    assert.ok(!isUnchanged(statusOf(file), stamp))
  })
}

test('an open file that was removed, or replaced, is unchanged and has no name', async (t) => {
  const removed = await stamped(t)
  assert.ok(hasName(removed.file.fd))
  await unlink(removed.path)
  assert.ok(isUnchanged(statusOf(removed.file), removed.stamp))
  assert.ok(!hasName(removed.file.fd))

  const replaced = await stamped(t)
  await writeFile(`${replaced.path}.new`, 'some bytes')
  await rename(`${replaced.path}.new`, replaced.path)
  assert.ok(isUnchanged(statusOf(replaced.file), replaced.stamp))
  assert.ok(!hasName(replaced.file.fd))
})

test('another file with the same bytes and times is another file', async (t) => {
  const { path, stamp } = await stamped(t)
  await writeFile(`${path}.new`, 'some bytes')
  await utimes(`${path}.new`, 1000, 1000)
  await rename(`${path}.new`, path)
  const file = await open(path)
  t.after(() => file.close())
  assert.ok(!isUnchanged(statusOf(file), stamp))
})
