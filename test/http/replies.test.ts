import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import fastify from 'fastify'
import { provenanceHeaders, sendBytes } from '../../src/http/replies.ts'

test('any warning becomes a valid header of limited length', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.string({ unit: 'binary', maxLength: 5000 })),
      (warning) => {
        const header = provenanceHeaders({ warning })['warning'] ?? ''
        assert.match(header, /^299 - "[\x20\x21\x23-\x5b\x5d-\x7e]*"$/)
        assert.ok(header.length <= 1024 + 8)
      },
    ),
  )
})

test('unknown provenance adds no headers', () => {
  assert.deepEqual(provenanceHeaders({}), {})
  assert.deepEqual(provenanceHeaders({ cache: 'hit' }), { 'x-cache': 'hit' })
})

test('a header that Node does not accept is an error, not a response without an end', async () => {
  const app = fastify()
  app.get('/:value', (request, reply) => {
    const { value } = request.params as { value: string }
    return sendBytes(reply, Buffer.from('bytes'), { 'content-type': value })
  })
  const ask = async (value: string) => {
    const { statusCode, body } = await app.inject(`/${encodeURIComponent(value)}`)
    return [statusCode, body === 'bytes']
  }
  assert.deepEqual(await ask('text/plain'), [200, true])
  assert.deepEqual(await ask('text\n/plain'), [500, false])
  await app.close()
})
