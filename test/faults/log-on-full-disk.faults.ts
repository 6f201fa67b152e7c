import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'

const logger = new URL('../../src/telemetry/logger.ts', import.meta.url).href

/** More than one batch of lines, twice; each write fails. */
const program = `
  import { createLogger } from '${logger}'
  const { log, end } = createLogger({ level: 'info' })
  const write = () => { for (let at = 0; at < 3000; at += 1) log.info({ at }, 'a line') }
  write()
  setTimeout(write, 300)
  setTimeout(async () => {
    process.stderr.write('still running')
    await end()
    process.exit(0)
  }, 800)
`

test('a log that is on a full disk does not end the process, and does not keep it from exiting', async () => {
  const full = await open('/dev/full', 'w')
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', full.fd, 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
  await full.close()
  const ended = once(child, 'exit')
  assert.ok(child.stderr)
  assert.equal(await text(child.stderr), 'still running')
  assert.deepEqual(await ended, [0, null])
})
