import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { type Observed, observed } from '../../src/remote/observed.ts'
import { createTransport } from '../../src/remote/transport.ts'
import { shortTimeouts } from '../support/remotes.ts'
import { sendJson, startWebServer } from '../support/web-server.ts'

test('a request is reported with its status, and without possible keys', async () => {
  const server = await startWebServer((_seen, response) => sendJson(response, {}, 202))
  const plain = createTransport({
    timeouts: shortTimeouts,
    userAgent: 'berth/test',
    outbound: createOutbound(),
    host: '127.0.0.1',
  })
  const seen: Observed[] = []
  const transport = observed(plain, (one) => void seen.push(one))
  const send = async (path: string) => {
    const url = new URL(path, server.url)
    const answer = await transport.send({ method: 'GET', url, trust: 'own', headers: {} })
    answer.drop()
  }
  await send('/v2/a/blobs/sha256:0')
  await send('/token?service=s&scope=repository:a:pull&account=me')
  await send('/bucket/object?X-Amz-Signature=key')
  await send(`/artifacts-downloads/${'opaque'.repeat(100)}`)
  await server.close()
  await assert.rejects(send('/v2/'))
  await transport.close()
  assert.deepEqual(
    seen.map(({ method, url, status }) => [method, url.replace(server.url, ''), status]),
    [
      ['GET', '/v2/a/blobs/sha256:0', 202],
      ['GET', '/token?service=s&scope=repository:a:pull&…', 202],
      ['GET', '/bucket/object?…', 202],
      ['GET', '/…', 202],
      ['GET', '/v2/', undefined],
    ],
  )
})
