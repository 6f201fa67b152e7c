import assert from 'node:assert/strict'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { loadKernel } from '../../src/http/kernel.ts'
import { ownDirectory } from '../support/directory.ts'

const kernel = loadKernel()
const options = { skip: kernel === undefined && 'not on Linux' }

async function opened(t: TestContext, path: string, flags: string): Promise<FileHandle> {
  const file = await open(path, flags)
  t.after(() => file.close())
  return file
}

test('bytes that were just written are resident', options, async (t) => {
  const file = await opened(t, join(await ownDirectory(t), 'file'), 'w+')
  await file.write('bytes')
  assert.equal(kernel?.isResident(file.fd, 0), true)
})

test(
  'what lies on a file system that cannot say is not resident (issue 10, point 6)',
  options,
  async (t) => {
    // As NFS, FUSE and overlays of old kernels, procfs does not know RWF_NOWAIT.
    const file = await opened(t, '/proc/self/status', 'r')
    assert.equal(kernel?.isResident(file.fd, 0), false)
  },
)

test('files of a tmpfs are resident, with or without RWF_NOWAIT', options, async (t) => {
  const file = await opened(t, `/dev/shm/berth-test-${process.pid}`, 'w+')
  t.after(() => rm(`/dev/shm/berth-test-${process.pid}`))
  await file.write('bytes')
  assert.equal(kernel?.isResident(file.fd, 0), true)
})
