import assert from 'node:assert/strict'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createFileStatus } from '../../src/store/file-status.ts'
import { ownDirectory } from '../support/directory.ts'

test('the status of a file that has been open for a while is asked for in another thread', async (t) => {
  const path = join(await ownDirectory(t), 'file')
  await writeFile(path, 'some bytes')
  const file = await open(path)
  t.after(() => file.close())
  const status = createFileStatus(file)
  await sleep(600)
  const later = status()
  assert.ok(later instanceof Promise)
  assert.equal((await later).size, 10n)
  await writeFile(path, 'more and other bytes')
  assert.equal((await status()).size, 20n)
})
