import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, describeAnswer } from '../../src/doctor/probe.ts'
import { sendJson, startWebServer } from '../support/web-server.ts'

test('a server without TLS is said to be one, not in the words of OpenSSL', async (t) => {
  const server = await startWebServer((_, response) => sendJson(response, {}))
  t.after(server.close)
  const port = Number(new URL(server.url).port)
  const answer = await ask({ address: '127.0.0.1', port, scheme: 'https', host: 'localhost' })
  assert.equal(answer.kind, 'failed')
  assert.equal(describeAnswer(answer), 'what listens there does not speak TLS')
})
