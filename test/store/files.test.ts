import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readdir, readFile, rmdir, stat, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { makeDirectory, openRegular, writeAll, writeWhole } from '../../src/store/files.ts'
import { ownDirectory } from '../support/directory.ts'

test('only a regular file is opened, and nothing blocks (T13)', async (t) => {
  const directory = await ownDirectory(t)
  const at = (name: string) => join(directory, name)
  await writeFile(at('file'), 'x')
  await mkdir(at('directory'))
  await symlink('file', at('link'))
  await symlink('nowhere', at('dangling'))
  execFileSync('mkfifo', [at('fifo')])
  const server = createServer().listen(at('socket'))
  await once(server, 'listening')
  t.after(() => server.close())

  const file = await openRegular(at('file'))
  assert.ok(typeof file === 'object')
  await file.close()
  assert.equal(await openRegular(at('nothing')), 'missing')
  assert.equal(await openRegular(at('file/below')), 'missing')
  for (const name of ['directory', 'link', 'dangling', 'fifo', 'socket'])
    assert.equal(await openRegular(at(name)), 'not-regular', name)
  assert.equal(await openRegular('/dev/null'), 'not-regular')
})

test('a small file is replaced in one step, with concurrent readers and writers', async (t) => {
  const directory = await ownDirectory(t)
  const path = join(directory, 'below', 'file')
  const texts = Array.from({ length: 20 }, (_, at) => `${at}`.repeat(1000))
  const write = (text: string, at: number) =>
    writeWhole({ temporary: join(directory, `${at}`), path, text })
  await write(texts[0] ?? '', 0)
  const writing = Promise.all(texts.map(write))
  for (let turn = 0; turn < 50; turn += 1) assert.ok(texts.includes(await readFile(path, 'utf8')))
  await writing
  assert.deepEqual(await readdir(join(directory, 'below')), ['file'])
  assert.deepEqual(await readdir(directory), ['below'])
})

test('a small file that cannot be renamed into place leaves no file', async (t) => {
  const directory = await ownDirectory(t)
  await mkdir(join(directory, 'file', 'x'), { recursive: true })
  const temporary = join(directory, 'temporary')
  await assert.rejects(writeWhole({ temporary, path: join(directory, 'file'), text: 'text' }), {
    code: 'EISDIR',
  })
  assert.deepEqual(await readdir(directory), ['file'])
})

test('all chunks are written at their positions, whatever their sizes', async (t) => {
  const path = join(await ownDirectory(t), 'file')
  const chunk = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
  await fc.assert(
    fc.asyncProperty(fc.array(chunk), fc.nat(100), async (chunks, position) => {
      const file = await open(path, 'w+')
      try {
        await writeAll(file, chunks, position)
      } finally {
        await file.close()
      }
      const whole = Buffer.concat(chunks)
      assert.deepEqual((await readFile(path)).subarray(position), whole)
    }),
    { numRuns: 100 },
  )
})

test('more chunks than the system takes at once are written too', async (t) => {
  const path = join(await ownDirectory(t), 'file')
  const chunks = Array.from({ length: 3000 }, (_, at) => Buffer.from(`${at},`))
  const file = await open(path, 'w+')
  await writeAll(file, chunks, 0)
  await file.close()
  assert.equal(await readFile(path, 'utf8'), chunks.join(''))
})

test('a directory that the system cannot create is an error, not an endless loop (36)', async () => {
  await assert.rejects(makeDirectory('/proc/berth/cache'), { code: 'ENOENT' })
  await assert.rejects(makeDirectory('/dev/null/cache'), { code: 'ENOTDIR' })
})

test('directories can be created concurrently, and while they are removed', async (t) => {
  const root = await ownDirectory(t)
  const path = join(root, 'a', 'b', 'c')
  await Promise.all(Array.from({ length: 20 }, () => makeDirectory(path)))
  const removing = Array.from({ length: 50 }, () => rmdir(path).catch(() => {}))
  await Promise.all([...removing, ...Array.from({ length: 50 }, () => makeDirectory(path))])
  await makeDirectory(path)
  assert.ok((await stat(path)).isDirectory())
})
