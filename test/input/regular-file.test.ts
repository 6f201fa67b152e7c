import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { readRegularFile } from '../../src/input/input.ts'
import { ownDirectory } from '../support/directory.ts'

test('a byte order mark, which editors of Windows write, is not a part of the text', async (t) => {
  const file = join(await ownDirectory(t), 'htpasswd')
  for (const [written, text] of [
    ['\uFEFFalice:hash\r\n', 'alice:hash\r\n'],
    ['\uFEFF', ''],
    ['alice:\uFEFF', 'alice:\uFEFF'],
  ] as const) {
    await writeFile(file, written)
    assert.equal(await readRegularFile(file), text)
  }
})
