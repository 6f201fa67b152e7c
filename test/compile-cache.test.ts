import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { ownDirectory } from './support/directory.ts'

const main = new URL('../src/main.ts', import.meta.url).pathname

/** A user's cache directory, and a start of the program with it. */
async function startIn(t: TestContext, below = '') {
  const caches = join(await ownDirectory(t), below)
  const { NODE_COMPILE_CACHE: _, ...environment } = process.env
  const start = (...words: readonly string[]) => {
    const env = { ...environment, XDG_CACHE_HOME: caches }
    return execFileSync(process.execPath, [main, ...words, '--help'], { env, encoding: 'utf8' })
  }
  return { directory: join(caches, 'berth', 'compiled'), start }
}

test('a command keeps its compiled code in the cache directory of the user', async (t) => {
  const { directory, start } = await startIn(t)
  assert.match(start('htpasswd'), /^Usage: berth htpasswd/)
  assert.notDeepEqual(readdirSync(directory), [])
})

test('a program that runs for each pull writes nothing', async (t) => {
  const { directory, start } = await startIn(t)
  start('docker-credential')
  start('kubelet-credential-provider')
  assert.equal(existsSync(directory), false)
})

test('a home without a cache directory gets none', async (t) => {
  const { directory, start } = await startIn(t, 'absent')
  start('htpasswd')
  assert.equal(existsSync(join(directory, '../..')), false)
})

test('compiled code that others can write is not used', async (t) => {
  const { directory, start } = await startIn(t)
  mkdirSync(directory, { recursive: true })
  chmodSync(directory, 0o777)
  assert.match(start('htpasswd'), /^Usage: berth htpasswd/)
  assert.deepEqual(readdirSync(directory), [])
})
