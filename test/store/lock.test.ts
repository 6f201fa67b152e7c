import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { acquireLock, lockPath } from '../../src/store/lock.ts'
import { ownDirectory } from '../support/directory.ts'

/** A process that holds the lock of a directory until it is killed. */
async function holder(directory: string) {
  const door = new URL('../../src/store/lock.ts', import.meta.url).href
  const program = `
    const { acquireLock } = await import(${JSON.stringify(door)})
    await acquireLock(${JSON.stringify(directory)})
    process.stdout.write('held')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return child
}

test('a directory has one holder, whose name is reported, and is free after its release (53)', async (t) => {
  const directory = await ownDirectory(t)
  const lock = await acquireLock(directory)
  assert.ok(lock)
  await assert.rejects(
    acquireLock(directory),
    new RegExp(`is used by another Berth \\(process ${process.pid} on `),
  )
  await lock.release()
  const next = await acquireLock(directory)
  await next?.release()
  assert.deepEqual(await readdir(directory), [])
})

test('a holder that was killed leaves no lock behind (53)', async (t) => {
  const directory = await ownDirectory(t)
  const child = await holder(directory)
  await assert.rejects(acquireLock(directory), new RegExp(`process ${child.pid} `))
  child.kill('SIGKILL')
  await once(child, 'exit')
  const lock = await acquireLock(directory)
  assert.ok(lock)
  await lock.release()
  assert.deepEqual(await readdir(directory), [])
})

test('sockets of a process that was killed before it had the lock are removed (C66)', async (t) => {
  const directory = await ownDirectory(t)
  await writeFile(join(directory, 'lock-0123'), '')
  const lock = await acquireLock(directory)
  assert.deepEqual(await readdir(directory), ['lock'])
  await lock?.release()
})

test('one of many concurrent processes gets the lock, also after a dead holder (53)', async (t) => {
  const directory = await ownDirectory(t)
  const child = await holder(directory)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const results = await Promise.allSettled(Array.from({ length: 10 }, () => acquireLock(directory)))
  const locks = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  assert.equal(locks.length, 1)
  await locks[0]?.release()
})

test('a file that is not a lock has no holder, and a long path works', async (t) => {
  const directory = join(await ownDirectory(t), 'd'.repeat(100), 'd'.repeat(100))
  await mkdir(directory, { recursive: true })
  await writeFile(lockPath(directory), 'x')
  const lock = await acquireLock(directory)
  assert.ok(lock)
  await assert.rejects(acquireLock(directory), /another Berth/)
  await lock.release()
  await rm(directory, { recursive: true })
})
