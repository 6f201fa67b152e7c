import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { writing } from '../../src/registry/disk-errors.ts'

const failing = (code: string) =>
  writing({ problem: () => undefined }, parseRepositoryName('local/app'), async () => {
    throw Object.assign(new Error(`${code}: open '/secret/path'`), { code, syscall: 'open' })
  })

test('a process without free descriptors is 503, and no failure of the disk', async () => {
  const expected = { status: 503, message: /out of file descriptors .* \(EMFILE\)/, retryAfter: 5 }
  await assert.rejects(failing('EMFILE'), expected)
  await assert.rejects(failing('EIO'), { status: 500, message: /disk .* has failed \(EIO\)/ })
  await assert.rejects(failing('ENOSPC'), { status: 507 })
})
