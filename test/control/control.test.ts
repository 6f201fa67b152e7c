import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, suite, test } from 'node:test'
import { type ControlServer, callControl, createControlServer } from '../../src/control/control.ts'
import { until } from '../support/until.ts'

let root: string
let servers: ControlServer[]
const errors: unknown[] = []

beforeEach(async () => {
  // Longer than the path of a socket may be.
  root = join(await mkdtemp(join(tmpdir(), 'berth-test-')), 'd'.repeat(120))
  await mkdir(join(root, '_berth'), { recursive: true })
  servers = []
  errors.length = 0
})

afterEach(async () => {
  await Promise.all(servers.map((server) => server.close()))
  await rm(root, { recursive: true, force: true })
})

function start(mayListen = () => true): ControlServer {
  const server = createControlServer({
    root,
    mayListen,
    onError: (error) => errors.push(error),
    actions: {
      count: async (request, send) => {
        for (let at = 0; at < 3; at += 1) send({ at, request })
      },
      refuse: async (_request, send) => {
        send({ step: 'first' })
        throw new Error('not today')
      },
    },
  })
  servers.push(server)
  return server
}

async function call(action: string, body: unknown = {}): Promise<readonly unknown[]> {
  const lines: unknown[] = []
  for await (const line of callControl({ root, action, body })) lines.push(line)
  return lines
}

suite('the control socket', () => {
  test('answers with a line for each step', async () => {
    start()
    const lines = await until('it listens', () => call('count', { n: 1 }))
    assert.deepEqual(
      lines,
      [0, 1, 2].map((at) => ({ at, request: { n: 1 } })),
    )
  })

  test('passes on why an action failed', async () => {
    start()
    await until('it listens', () => call('count'))
    await assert.rejects(call('refuse'), { message: 'not today' })
    await assert.rejects(call('__proto__'), /does not know the action __proto__/)
  })

  test('belongs to the user alone', async () => {
    start()
    await until('it listens', () => call('count'))
    const { mode } = await stat(join(root, '_berth', 'control.sock'))
    assert.equal(mode & 0o777, 0o600)
  })

  test('is removed at the end, and says so to commands', async () => {
    const server = start()
    await until('it listens', () => call('count'))
    await server.close()
    assert.deepEqual(await readdir(join(root, '_berth')), [])
    await assert.rejects(call('count'), /no running registry has .*control\.sock/)
  })

  test('replaces what a killed process has left', async () => {
    await writeFile(join(root, '_berth', 'control.sock'), '')
    await assert.rejects(call('count'), /no running registry/)
    start()
    await until('it listens', () => call('count'))
    assert.deepEqual(errors, [])
  })

  test('is taken over by the next process, and not removed by the last', async () => {
    const first = start()
    await until('it listens', () => call('count'))
    let mayListen = false
    start(() => mayListen)
    const before = await stat(join(root, '_berth', 'control.sock'))
    mayListen = true
    await until('the second one listens', async () => {
      const { ino } = await stat(join(root, '_berth', 'control.sock'))
      assert.notEqual(ino, before.ino)
    })
    await first.close()
    assert.equal((await call('count')).length, 3)
  })

  test('waits for the directory, and does not create it', async () => {
    await rm(join(root, '_berth'), { recursive: true })
    start()
    await assert.rejects(call('count'), /no running registry/)
    await mkdir(join(root, '_berth'))
    await until('it listens', () => call('count'))
    assert.deepEqual(errors, [])
  })
})
