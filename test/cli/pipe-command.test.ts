import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Duplex } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { joinStreams, openTunnel } from '../../src/tunnel/tunnel.ts'
import { main, runCommand, startCommand } from '../support/command.ts'
import { configFile } from '../support/config-file.ts'
import { ownDirectory } from '../support/directory.ts'
import { listenFor, portOf, quickPauses } from '../support/tunnels.ts'
import { until } from '../support/until.ts'

const config = { hosted: [{ prefix: 'local', anonymous: 'pull' }] }

/** `berth serve`, and a tunnel to it by `berth pipe`, whose processes can be killed. */
async function setScene(t: TestContext) {
  const directory = await ownDirectory(t)
  const file = join(directory, 'berth.yaml')
  const storage = { directory: join(directory, 'data') }
  const listening = { listen: '127.0.0.1:0', admin: '127.0.0.1:0', storage }
  const access = [{ users: ['*'], repositories: ['local/**'], actions: ['pull', 'push'] }]
  const auth = { anonymous: 'rules', access }
  await writeFile(file, configFile({ ...listening, ...config, auth, upstreams: [] }))
  const serve = startCommand(['serve', '--config', file])
  t.after(() => serve.signal('SIGKILL'))
  await serve.wrote(/"msg":"listening"/)
  const socket = join(directory, 'data/cache/berth-pipe.sock')
  const pipes: ChildProcess[] = []
  const tunnel = await openTunnel({
    version: '1',
    pauses: quickPauses,
    connect: async () => {
      const pipe = spawn(process.execPath, [main, 'pipe', '--socket', socket])
      pipes.push(pipe)
      pipe.stdin.on('error', () => {})
      return Duplex.from({ readable: pipe.stdout, writable: pipe.stdin })
    },
  })
  t.after(() => tunnel.close())
  const local = await listenFor(t, (one) => joinStreams(one, tunnel.open()))
  return { serve, socket, tunnel, pipes, url: `http://localhost:${portOf(local)}` }
}

test('pushes through berth pipe survive that its process is killed', async (t) => {
  const { tunnel, pipes, url } = await setScene(t)
  assert.deepEqual(tunnel.registry, { scheme: 'http', hosted: ['local', ''], audiences: [] })
  const bytes = randomBytes(20_000_000)
  const digest = digestOf(bytes)
  const opened = await fetch(`${url}/v2/local/app/blobs/uploads/`, { method: 'POST' })
  assert.equal(opened.status, 202, await opened.text())
  const location = `${url}${opened.headers.get('location')}`
  const separator = location.includes('?') ? '&' : '?'
  const killed: Promise<unknown>[] = []
  async function* body() {
    for (let at = 0; at < bytes.length; at += 100_000) {
      if (at % 4_000_000 === 2_000_000) {
        const pipe = pipes.at(-1)
        pipe?.kill('SIGKILL')
        if (pipe !== undefined) killed.push(once(pipe, 'exit'))
      }
      yield bytes.subarray(at, at + 100_000)
    }
  }
  const put = await fetch(`${location}${separator}digest=${digest}`, {
    method: 'PUT',
    body: body(),
    duplex: 'half',
  } as RequestInit)
  assert.equal(put.status, 201, await put.text())
  await Promise.all(killed)
  assert.ok(pipes.length >= 2, `${pipes.length} processes`)
  const pulled = await fetch(`${url}/v2/local/app/blobs/${digest}`)
  assert.equal(digestOf(Buffer.from(await pulled.arrayBuffer())), digest)
})

test('berth pipe ends with its input, and when the registry stops', async (t) => {
  const { serve, socket, tunnel, pipes } = await setScene(t)
  const [first] = pipes
  assert.ok(first)
  const other = spawn(process.execPath, [main, 'pipe', '--socket', socket])
  other.stdin.end()
  assert.deepEqual(await once(other, 'exit'), [0, null])
  assert.equal((await buffer(other.stdout)).length, 0)
  const ended = once(first, 'exit')
  serve.signal('SIGINT')
  await ended
  await serve.finished
  const { stderr, status } = await runCommand(['pipe', '--socket', socket])
  assert.equal(status, 1)
  assert.match(stderr, /ENOENT|ECONNREFUSED/)
  await tunnel.close()
})

test('berth pipe finds the registry of its user', async (t) => {
  const { socket } = await setScene(t)
  assert.equal((await stat(socket)).mode & 0o777, 0o600, 'nobody else can connect')
  const pipe = spawn(process.execPath, [main, 'pipe'])
  pipe.stdin.end()
  const stderr = await text(pipe.stderr)
  // Other registries may run on this machine.
  if (stderr !== '')
    assert.ok(stderr.includes('choose one with --socket') && stderr.includes(socket))
})

test('berth pipe needs a pipe, and no more memory for more bytes', async (t) => {
  const size = 300_000_000
  const chunk = Buffer.alloc(1_000_000)
  const directory = await ownDirectory(t)
  const path = join(directory, 'registry.sock')
  // It sends as many bytes as it gets.
  const registry = createServer((socket) => void socket.pipe(socket)).listen(path)
  await once(registry, 'listening')
  t.after(() => registry.close())
  const none = spawn(process.execPath, [main, 'pipe', '--socket', path], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  assert.match(await text(none.stderr), /standard input is not a pipe/)

  const pipe = spawn(process.execPath, [main, 'pipe', '--socket', path])
  t.after(() => pipe.kill('SIGKILL'))
  const memory = async (name: string) => {
    const status = await readFile(`/proc/${pipe.pid}/status`, 'utf8')
    return Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024
  }
  let received = 0
  let first: number | undefined
  pipe.stdout.on('data', ({ length }: Buffer) => {
    received += length
  })
  for (let sent = 0; sent < size; sent += chunk.length) {
    if (!pipe.stdin.write(chunk)) await once(pipe.stdin, 'drain')
    if (first === undefined && received > 0) first = await memory('VmRSS')
  }
  await until('all is back', () => assert.equal(received, size))
  const most = await memory('VmHWM')
  t.diagnostic(`${first?.toFixed(0)} MiB at first, ${most.toFixed(0)} MiB at most`)
  assert.ok(first !== undefined && most < first + 30, `${first} and ${most} MiB`)
})
