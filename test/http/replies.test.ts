import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { provenanceHeaders } from '../../src/http/replies.ts'

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
