import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../support/berth.ts'
import { startCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'

const root = new URL('../../', import.meta.url).pathname

async function flags(t: TestContext, delay: string): Promise<readonly string[]> {
  return [
    ...['--listen', 'localhost:0', '--admin', '127.0.0.1:0', '--shutdown-delay', delay],
    ...['--storage-directory', await ownDirectory(t)],
  ]
}

async function startServing(t: TestContext, delay: string) {
  const berth = startCommand(['serve', ...(await flags(t, delay))])
  t.after(() => berth.signal('SIGKILL'))
  await berth.wrote(/"msg":"listening"/)
  return berth
}

suite('berth serve', { concurrency: true }, () => {
  test('ends at once with 0 on SIGINT, whatever the delay', async (t) => {
    const berth = await startServing(t, '10m')
    berth.signal('SIGINT')
    assert.equal((await berth.finished).status, 0)
  })

  test('ends with 0 on SIGTERM, after the delay (K161)', async (t) => {
    const berth = await startServing(t, '0')
    berth.signal('SIGTERM')
    assert.equal((await berth.finished).status, 0)
  })

  test('takes a signal that comes twice at once for one', async (t) => {
    const berth = await startServing(t, '10m')
    berth.signal('SIGTERM')
    berth.signal('SIGINT')
    // Whichever came first: SIGTERM goes on waiting, SIGINT has ended it.
    const end = await Promise.race([berth.finished, sleep(1500)])
    assert.ok(end === undefined || end.status === 0, `it ended with ${end?.status}`)
  })

  test('ends with 1 on a second signal, a moment after the first (K163)', async (t) => {
    const berth = await startServing(t, '10m')
    berth.signal('SIGTERM')
    await sleep(1000)
    berth.signal('SIGTERM')
    assert.equal((await berth.finished).status, 1)
  })
})

/** Ends when npm and all that it started are gone. Its node_modules are left as they are. */
async function startByNpm(t: TestContext) {
  const command = ['start', '--ignore-scripts', '--', ...(await flags(t, '0'))]
  const npm = spawn('npm', command, {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  npm.stdout.on('data', (bytes: Buffer) => {
    output += bytes.toString()
  })
  t.after(() => isThere(npm) && process.kill(-(npm.pid ?? 0), 'SIGKILL'))
  const ended = once(npm, 'exit')
  await eventually('it listens', () => output.includes('"msg":"listening"'))
  return { npm, ended, output: () => output }
}

/** Whether a process is left in the group that npm was started as the first of. */
function isThere({ pid = 0 }: ChildProcess): boolean {
  try {
    return process.kill(-pid, 0)
  } catch {
    return false
  }
}

suite('npm start', { concurrency: true }, () => {
  test('ends Berth, with 0, when SIGTERM comes to npm alone', async (t) => {
    const { npm, ended, output } = await startByNpm(t)
    npm.kill('SIGTERM')
    assert.deepEqual(await ended, [0, null])
    assert.match(output(), /"msg":"stopped"/)
    assert.ok(!isThere(npm), 'a process is left')
  })

  test('ends Berth, with 0, on Ctrl-C, which comes to all of them', async (t) => {
    const { npm, ended, output } = await startByNpm(t)
    process.kill(-(npm.pid ?? 0), 'SIGINT')
    assert.deepEqual(await ended, [0, null])
    assert.match(output(), /"msg":"stopped"/)
    assert.ok(!isThere(npm), 'a process is left')
  })
})
