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
  for (const signal of ['SIGINT', 'SIGHUP'] as const)
    test(`exits with 0 on ${signal}, without the delay`, async (t) => {
      const berth = await startServing(t, '10m')
      berth.signal(signal)
      assert.equal((await berth.finished).status, 0)
    })

  test('exits with 0 on SIGTERM, after the delay (K161)', async (t) => {
    const berth = await startServing(t, '0')
    berth.signal('SIGTERM')
    assert.equal((await berth.finished).status, 0)
  })

  test('treats two signals at once as one', async (t) => {
    const berth = await startServing(t, '10m')
    berth.signal('SIGTERM')
    berth.signal('SIGINT')
    // After SIGTERM it waits for the delay; after SIGINT it has exited.
    const end = await Promise.race([berth.finished, sleep(1500)])
    assert.ok(end === undefined || end.status === 0, `it exited with ${end?.status}`)
  })

  test('exits with 1 on a second signal a second later (K163)', async (t) => {
    const berth = await startServing(t, '10m')
    berth.signal('SIGTERM')
    await sleep(1000)
    berth.signal('SIGTERM')
    assert.equal((await berth.finished).status, 1)
  })
})

/** `npm start` in its own process group, without its install and build scripts. */
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
  t.after(() => isRunning(npm) && process.kill(-(npm.pid ?? 0), 'SIGKILL'))
  const ended = once(npm, 'exit')
  await eventually('Berth to listen', () => output.includes('"msg":"listening"'))
  return { npm, ended, output: () => output }
}

/** Whether npm's process group still has a process. */
function isRunning({ pid = 0 }: ChildProcess): boolean {
  try {
    return process.kill(-pid, 0)
  } catch {
    return false
  }
}

suite('npm start', { concurrency: true }, () => {
  test('stops Berth with 0 when only npm receives SIGTERM', async (t) => {
    const { npm, ended, output } = await startByNpm(t)
    npm.kill('SIGTERM')
    assert.deepEqual(await ended, [0, null])
    assert.match(output(), /"msg":"stopped"/)
    assert.ok(!isRunning(npm), 'a process is still running')
  })

  test('stops Berth with 0 on Ctrl-C, which all processes receive', async (t) => {
    const { npm, ended, output } = await startByNpm(t)
    process.kill(-(npm.pid ?? 0), 'SIGINT')
    assert.deepEqual(await ended, [0, null])
    assert.match(output(), /"msg":"stopped"/)
    assert.ok(!isRunning(npm), 'a process is still running')
  })
})
