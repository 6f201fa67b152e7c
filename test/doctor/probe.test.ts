import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeAnswer, probe } from '../../src/doctor/probe.ts'
import { sendJson, startWebServer } from '../support/web-server.ts'

test('a server without TLS is reported as such, without an OpenSSL message', async (t) => {
  const server = await startWebServer((_, response) => sendJson(response, {}))
  t.after(server.close)
  const port = Number(new URL(server.url).port)
  const answer = await probe({ address: '127.0.0.1', port, scheme: 'https', host: 'localhost' })
  assert.equal(answer.kind, 'failed')
  assert.equal(describeAnswer(answer), 'the server does not support TLS')
})
