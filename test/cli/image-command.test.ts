import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createAuthority } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { sendJson, startWebServer } from '../support/web-server.ts'

test('a login for one registry is not sent to another one', async (t) => {
  const challenge = { 'www-authenticate': 'Basic realm="r"' }
  const servers = await Promise.all(
    [1, 2].map(() =>
      startWebServer((_request, response) => void response.writeHead(401, challenge).end()),
    ),
  )
  t.after(() => Promise.all(servers.map((server) => server.close())))
  const [from, to] = servers.map(({ port }) => `127.0.0.1:${port}/app:1`)
  const copy = ['image', 'copy', from ?? '', to ?? '', '-u', 'user', '--password-stdin']
  const { status, stderr } = await runCommand(copy, { input: 'canary' })
  assert.equal(status, 1)
  assert.match(stderr, /would be sent to both registries/)
  for (const { requests } of servers) assert.equal(requests.length, 0)
})

test('a message names the source that cannot be read', async (t) => {
  const directory = await ownDirectory(t)
  await writeFile(join(directory, 'text.tar'), 'text')
  await writeFile(join(directory, 'app.tar.xz'), Buffer.from('fd377a585a000000', 'hex'))
  for (const [source, message] of [
    ['no.tar', 'cannot read no.tar: there is no such file or directory'],
    ['text.tar', 'cannot read text.tar: the archive has no end mark'],
    ['app.tar.xz', 'cannot read app.tar.xz: it is compressed with xz: use gzip, zstd'],
    ['.', 'cannot read .: it has neither manifest.json'],
  ] as const) {
    const { status, stderr } = await runCommand(['image', 'push', source, 'localhost:1/app:1'], {
      directory,
    })
    assert.equal(status, 1)
    assert.ok(stderr.startsWith(`berth: ${message}`), stderr)
  }
})

test('localhost is reached by TLS if a certificate is named', async (t) => {
  const authority = await createAuthority('the company')
  t.after(() => authority.remove())
  const tls = await authority.issue(['DNS:localhost'])
  const server = await startWebServer((_, response) => sendJson(response, { tags: ['1'] }), { tls })
  t.after(server.close)
  const list = ['image', 'list', `localhost:${server.port}/app`]
  const plain = await runCommand(list)
  assert.match(plain.stderr, /it may speak TLS on that port: .*--certificate of a command/)
  assert.equal((await runCommand([...list, '--certificate', authority.file])).stdout, '1\n')
})

test('a level that a compression does not have is refused', async () => {
  const push = ['image', 'push', 'app.tar', 'localhost:1/app:1', '--compression-level']
  for (const [level, message] of [
    ['10', 'expected a number from 1 to 9 for gzip'],
    ['x', 'expected a number from 1 to 9 for gzip'],
    ['20 --compression zstd', 'expected a number from 1 to 19 for zstd'],
    ['1 --compression none', '--compression-level needs --compression gzip or zstd'],
  ] as const) {
    const { status, stderr } = await runCommand([...push, ...level.split(' ')])
    assert.equal(status, 1)
    assert.ok(stderr.includes(message), stderr)
  }
})
