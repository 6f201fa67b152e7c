import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../support/command.ts'
import { ownFileSystem } from '../support/mounts.ts'

test('a storage directory on a read-only file system is told as that (K166)', async (t) => {
  const directory = join(await ownFileSystem(t, 'ro'), 'data')
  const { status, stderr } = await runCommand(['serve', '--storage-directory', directory])
  assert.equal(status, 1)
  assert.match(
    stderr,
    /^berth: storage\.directory: .*file system is read-only; choose another .*\n$/,
  )
})
