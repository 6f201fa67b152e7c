import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually, removeBerth, startBerth } from '../support/berth.ts'
import { randomBlob } from '../support/images.ts'
import { codeIn, createPushClient } from '../support/push-client.ts'
import { connectRaw } from '../support/raw.ts'

const limit = 1024 * 1024
const access = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

test('an announced body that does not fit into the quota is denied before it is sent, and what broke off is not reserved any longer', async (t) => {
  const hosted = [{ prefix: 'local', quota: '1MiB' }]
  const berth = await startBerth({ config: { upstreams: [], auth: { access }, hosted } })
  t.after(() => removeBerth(berth))
  const client = createPushClient(berth.url)
  const { host } = new URL(berth.url)
  const push = async () => {
    const { digest, bytes } = randomBlob(200_000)
    const path = await client.start('local/app')
    return client.send('PUT', `${path}?digest=${digest}`, { body: Uint8Array.from(bytes) })
  }
  await eventually('the quota is known', async () => (await push()).status === 201)

  const announce = async (bytes: number, sent: Buffer) => {
    const raw = await connectRaw(berth.url)
    t.after(() => raw.reset())
    const path = await client.start('local/app')
    raw.ask(
      `PATCH ${path} HTTP/1.1`,
      `Host: ${host}`,
      `Content-Length: ${bytes}`,
      'Expect: 100-continue',
    )
    raw.send(sent)
    return { raw, path }
  }

  const { raw: denied } = await announce(limit, Buffer.alloc(0))
  assert.equal((await denied.reply()).status, 403)

  const most = limit - 300_000
  const { raw: broken, path } = await announce(most, Buffer.alloc(1000))
  assert.equal((await broken.reply({ bodiless: true })).status, 100)
  assert.equal(await codeIn(await push()), 'DENIED')
  broken.reset()
  await eventually('the space is free again', async () => (await push()).status === 201)
  assert.equal((await client.send('GET', path)).status, 204, 'the session remains')
})
