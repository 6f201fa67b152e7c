import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../src/store/paths.ts'
import { createTemporary } from '../../src/store/temporary.ts'
import { ownDirectory } from '../support/directory.ts'
import { temporaryFiles } from '../support/disk.ts'

/** Makes an unfinished file in a process of its own, which goes on living, and tells its path. */
async function fileOfAnother(
  root: string,
): Promise<{ readonly path: string; readonly child: ChildProcess }> {
  const door = new URL('../../src/store/temporary.ts', import.meta.url).href
  const program = `
    const { createTemporary } = await import(${JSON.stringify(door)})
    const { path } = await createTemporary(${JSON.stringify(root)}).create()
    process.stdout.write(path)
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [path] = await once(child.stdout, 'data')
  return { path: String(path), child }
}

/** A directory of somebody who does not write any more, with a file in it. */
async function leave(root: string, owner: string): Promise<string> {
  const directory = join(temporaryDirectory(root), owner)
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'file'), 'x')
  return directory
}

test('a new file is empty, private, and has a unique name', async (t) => {
  const root = await ownDirectory(t)
  const temporary = createTemporary(root)
  const files = await Promise.all(Array.from({ length: 20 }, () => temporary.create()))
  assert.equal(new Set(files.map(({ path }) => path)).size, 20)
  for (const { path, handle } of files) {
    assert.equal((await stat(path)).size, 0)
    assert.equal((await stat(path)).mode & 0o777, 0o600)
    await handle.close()
  }
})

test('files of a dead process are removed, and files of a live one are not (C70)', async (t) => {
  const root = await ownDirectory(t)
  const { path, child } = await fileOfAnother(root)
  const temporary = createTemporary(root)
  const own = await temporary.create()
  await own.handle.close()
  await temporary.clean()
  assert.deepEqual(
    new Set(await temporaryFiles(root)),
    new Set([path, own.path].map((at) => basename(at))),
  )
  child.kill('SIGKILL')
  await once(child, 'exit')
  await temporary.clean()
  assert.deepEqual(await temporaryFiles(root), [basename(own.path)])
})

test('a new process with the process id of a dead one does not keep its files', async (t) => {
  const root = await ownDirectory(t)
  await leave(root, `${hostname()}+${process.pid}+1`)
  await createTemporary(root).clean()
  assert.deepEqual(await temporaryFiles(root), [])
})

test('entries that no process can have created are removed', async (t) => {
  const root = await ownDirectory(t)
  const { pid } = spawnSync('true')
  for (const number of [`${pid}`, '', 'x', '-1', '0', '4194305'])
    await leave(root, `${hostname()}+${number}+1`)
  await createTemporary(root).clean()
  assert.deepEqual(await temporaryFiles(root), [])
})

test('files of another host are removed after a day (C70)', async (t) => {
  const root = await ownDirectory(t)
  await leave(root, 'another-host+1+100')
  const old = await leave(root, 'another-host+1+200')
  const hours = (count: number) => Date.now() / 1000 - count * 3600
  await utimes(old, hours(25), hours(25))
  await createTemporary(root).clean()
  assert.deepEqual(await readdir(temporaryDirectory(root)), ['another-host+1+100'])
})

test('the only process in a directory removes all other files, as a pod on the volume of another pod (44)', async (t) => {
  const root = await ownDirectory(t)
  await leave(root, 'another-host+1+100')
  const temporary = createTemporary(root)
  const own = await temporary.create()
  await own.handle.close()
  await temporary.clean(true)
  assert.deepEqual(await temporaryFiles(root), [basename(own.path)])
})

test('cleaning an empty directory has no effect', async (t) => {
  const root = await ownDirectory(t)
  await createTemporary(root).clean()
  assert.deepEqual(await readdir(root), [])
})

test('at the end only the directory of this process is removed', async (t) => {
  const root = await ownDirectory(t)
  const other = await leave(root, 'another-host+1+100')
  const temporary = createTemporary(root)
  const { handle, path } = await temporary.create()
  await handle.close()
  await temporary.close()
  assert.deepEqual(await readdir(temporaryDirectory(root)), [basename(other)])
  assert.notEqual(dirname(path), other)
})
