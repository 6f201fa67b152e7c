import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runCommand } from '../support/command.ts'
import { startWebServer } from '../support/web-server.ts'

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
