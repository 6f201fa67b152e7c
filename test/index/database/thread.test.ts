import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

for (const [where, file] of [
  ['sources', '../../../src/index/database/database.ts'],
  ['build', '../../../dist/index/database/database.js'],
] as const)
  test(`the thread starts from the ${where}, and nothing is written to standard error`, async () => {
    const program = `
      import { startDatabase } from ${JSON.stringify(fileURLToPath(new URL(file, import.meta.url)))}
      const database = startDatabase({ database: ':memory:', journal: undefined, cleanMark: undefined })
      const ask = database.within(30_000)
      await ask('open', { discard: false, pullsLost: false })
      console.log(JSON.stringify(await ask('totals')))
      await database.end()`
    const arguments_ = ['--input-type=module', '--eval', program]
    const { stdout, stderr } = await run(process.execPath, arguments_)
    assert.equal(stderr, '')
    assert.deepEqual(JSON.parse(stdout), {
      blobs: 0,
      bytes: 0,
      manifests: 0,
      tags: 0,
      repositories: 0,
    })
  })
