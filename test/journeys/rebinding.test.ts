import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { basicOf } from '../support/canaries.ts'
import { useDirectory } from '../support/directory.ts'
import { makeImage } from '../support/images.ts'
import { connectRaw, type RawReply } from '../support/raw.ts'
import { useBerth } from '../support/use-berth.ts'
import { useUpstream } from '../support/use-upstream.ts'

const path = '/v2/p/r/manifests/v1'
const directory = await useDirectory()
const upstream = await useUpstream()
upstream.put('p/r', 'v1', makeImage())
const berth = useBerth()

function start(config: Readonly<Record<string, unknown>> = {}): Promise<void> {
  return berth.start({ config: { upstreams: [{ url: upstream.url }], ...config } })
}

async function ask(host: string, ...headers: readonly string[]): Promise<RawReply> {
  const client = await connectRaw(berth.url)
  client.ask(`GET ${path} HTTP/1.1`, `Host: ${host}`, ...headers)
  const reply = await client.reply()
  client.socket.destroy()
  return reply
}

test('a web page that rebinds its name to the address of Berth can read nothing without a login (point 29)', async () => {
  await start({ hosts: ['registry.example.com', '*.corp.example'] })
  for (const host of [
    'evil.example',
    'evil.example:30026',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'svc.evil.example',
    'corp.example',
    'a.b.corp.example',
    'other.example.com',
    '',
  ]) {
    const { status, body } = await ask(host)
    assert.equal(status, 421, host)
    assert.match(body.toString(), /DENIED.*hosts/, host)
  }
})

test('anonymous requests are accepted for addresses, private names and configured names (point 29)', async () => {
  await start({ hosts: ['registry.example.com', '*.corp.example'] })
  for (const host of [
    'localhost:30026',
    'LOCALHOST',
    '127.0.0.1:30026',
    '[::1]:30026',
    '10.1.2.3:5000',
    'berth',
    'berth.registry.svc',
    'berth.registry.svc.cluster.local.:30026',
    'host.docker.internal:30026',
    'Registry.Example.com',
    'a.corp.example',
  ])
    assert.equal((await ask(host)).status, 200, host)
})

test('users who log in may use any host name, anonymous users may not (point 29)', async () => {
  const htpasswd = join(directory, 'htpasswd')
  await writeFile(htpasswd, `alice:${await hashPassword('p', 4)}\n`)
  await start({
    auth: { htpasswd, anonymous: 'pull' },
    upstreams: [{ url: upstream.url, anonymous: 'pull' }],
  })
  const login = `Authorization: Basic ${basicOf('alice', 'p')}`
  assert.equal((await ask('registry.example.com', login)).status, 200)
  assert.equal((await ask('registry.example.com')).status, 421)
  assert.equal((await ask('localhost')).status, 200)
})
