import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Listeners, listenAdmin } from '../../src/http/http.ts'
import { get } from '../support/client.ts'
import { connectRaw, type RawConnection } from '../support/raw.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

let listeners: Listeners
let url: string

before(async () => {
  const { telemetry } = watchedTelemetry('silent')
  const readiness = () => ({ ready: true, parts: {} })
  listeners = await listenAdmin({ hosts: ['127.0.0.1'], port: 0, readiness, telemetry })
  url = `http://127.0.0.1:${listeners.addresses[0]?.port}`
})
after(() => listeners.close(0))

test('the root of the admin address lists its paths (point 36)', async () => {
  const { status, headers, body } = await get(`${url}/`)
  assert.equal(status, 200)
  assert.match(headers['content-type'] ?? '', /^text\/plain/)
  for (const path of ['/livez', '/readyz', '/metrics']) assert.ok(body.includes(path), path)
  assert.ok(!body.includes('/status'))
})

test('hundreds of silent connections do not block the probes (R208)', async () => {
  const silent: RawConnection[] = []
  for (let at = 0; at < 600; at += 1) silent.push(await connectRaw(url))
  for (const path of ['/livez', '/readyz']) {
    const probe = await connectRaw(url)
    probe.ask(`GET ${path} HTTP/1.1`, 'Host: x', 'Connection: close')
    assert.equal((await probe.reply()).status, 200)
  }
  for (const { socket } of silent) socket.destroy()
})
