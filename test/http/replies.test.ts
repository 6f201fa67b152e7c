import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { provenanceHeaders } from '../../src/http/replies.ts'

test('a warning is a header that can be sent, whatever it says, and not too long', () => {
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

test('what is not known is not said', () => {
  assert.deepEqual(provenanceHeaders({}), {})
  assert.deepEqual(provenanceHeaders({ cache: 'hit' }), { 'x-cache': 'hit' })
})
