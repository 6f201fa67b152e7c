import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import { attempt, tool } from '../support/programs.ts'

const directory = new URL('../../.github/workflows/', import.meta.url).pathname
const files = (await readdir(directory)).map((name) => join(directory, name))

test('actionlint finds nothing wrong with the workflows', async () => {
  assert.ok(files.length >= 2)
  const { status, output } = await attempt([tool('actionlint'), '-shellcheck=', ...files])
  assert.equal(status, 0, output)
})

test('no workflow has more rights than its jobs ask for, or runs without end', async () => {
  for (const file of files) {
    const { permissions, jobs } = parse(await readFile(file, 'utf8'))
    assert.deepEqual(permissions, { contents: 'read' }, file)
    assert.ok(Object.keys(jobs).length > 0, file)
    for (const [name, job] of Object.entries<Record<string, unknown>>(jobs))
      assert.ok(Number(job['timeout-minutes']) <= 90, `${file}: ${name}`)
  }
})
