import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { ownDirectory } from '../support/directory.ts'

const demo = new URL('demo.ts', import.meta.url).pathname

async function startDemo(t: TestContext) {
  const directory = await ownDirectory(t)
  const child = spawn(process.execPath, [demo], { env: { TMPDIR: directory } })
  t.after(() => child.kill('SIGKILL'))
  return { directory, child, output: text(child.stdout), errors: text(child.stderr) }
}

/** The columns of a pull: time, received, fetched, upstream requests, X-Cache. */
function cellsOf(output: string, pull: string): readonly string[] {
  const line = output.split('\n').find((candidate) => candidate.startsWith(`  ${pull} `))
  return (line ?? '')
    .slice(2 + pull.length)
    .trim()
    .split(/ {2,}/)
}

test('the demo pulls with an empty cache, with a full one and without the upstream, and removes its files', async (t) => {
  const { directory, child, output, errors } = await startDemo(t)
  const [status] = await once(child, 'close')
  assert.equal(status, 0, await errors)
  assert.equal(await errors, '')
  const shown = await output
  const [, received, fetched, requests, answers] = cellsOf(shown, 'cold')
  assert.deepEqual([received, fetched, answers], ['43.0 MiB', '43.0 MiB', '8 miss'], shown)
  assert.ok(Number(requests) >= 8, shown)
  for (const pull of ['warm', 'upstream stopped'])
    assert.deepEqual(cellsOf(shown, pull).slice(1), ['43.0 MiB', '0', '0', '8 hit'], shown)
  assert.match(shown, /hit rate {3}67 %/)
  assert.deepEqual(await readdir(directory), [])
})

test('the demo removes its files when it is interrupted', async (t) => {
  const { directory, child } = await startDemo(t)
  await once(child.stdout, 'data')
  const before = await readdir(directory)
  child.kill('SIGINT')
  const [status] = await once(child, 'close')
  assert.equal(status, 1)
  assert.equal(before.length, 1)
  assert.deepEqual(await readdir(directory), [])
})
