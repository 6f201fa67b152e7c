import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  algorithmOf,
  createDigester,
  digestOf,
  encodedOf,
  isDigest,
  parseDigest,
} from '../../src/oci/digest.ts'
import { isRegistryError } from '../../src/oci/errors.ts'

const algorithm = fc.constantFrom('sha256' as const, 'sha512' as const)

test('a digest is what the algorithm makes of the bytes, in one go or in pieces (P8)', () => {
  fc.assert(
    fc.property(algorithm, fc.array(fc.uint8Array()), (name, pieces) => {
      const bytes = Buffer.concat(pieces)
      const expected = `${name}:${createHash(name).update(bytes).digest('hex')}`
      const digester = createDigester(name)
      for (const piece of pieces) digester.update(piece)
      assert.equal(digester.size, bytes.length)
      assert.equal(digester.digest(), expected)
      assert.equal(digestOf(bytes, name), expected)
      assert.ok(isDigest(expected))
    }),
  )
})

test('a copy of a digester goes on by itself', () => {
  fc.assert(
    fc.property(algorithm, fc.uint8Array(), fc.uint8Array(), (name, first, second) => {
      const digester = createDigester(name)
      digester.update(first)
      const copy = digester.copy()
      copy.update(second)
      assert.equal(copy.size, first.length + second.length)
      assert.equal(copy.digest(), digestOf(Buffer.concat([first, second]), name))
      assert.equal(digester.size, first.length)
      assert.equal(digester.digest(), digestOf(first, name))
    }),
  )
})

test('a digest is an algorithm and its part behind the colon', () => {
  fc.assert(
    fc.property(algorithm, fc.uint8Array(), (name, bytes) => {
      const digest = digestOf(bytes, name)
      assert.equal(algorithmOf(digest), name)
      assert.equal(`${algorithmOf(digest)}:${encodedOf(digest)}`, digest)
      assert.equal(parseDigest(digest), digest)
    }),
  )
})

test('whatever is no digest is refused as DIGEST_INVALID and nothing else (P6)', () => {
  const hex = 'a'.repeat(64)
  const strange = [
    '',
    ':',
    'sha256:',
    'sha256:bad',
    `sha256:${hex}a`,
    `sha256:${hex.slice(1)}`,
    `sha256:${hex.toUpperCase()}`,
    `SHA256:${hex}`,
    `sha512:${hex}`,
    `sha256:${hex}${hex}`,
    `sha1:${'a'.repeat(40)}`,
    `md5:${'a'.repeat(32)}`,
    `sha256:${hex}\n`,
    `\nsha256:${hex}`,
    ` sha256:${hex}`,
    `sha256:../../${hex.slice(6)}`,
    `sha256:${hex.slice(1)}\0`,
    `sha256:${'g'.repeat(64)}`,
    hex,
  ]
  for (const text of strange) {
    assert.equal(isDigest(text), false, text)
    assert.throws(
      () => parseDigest(text),
      (error) => isRegistryError(error, 'DIGEST_INVALID'),
    )
  }
  fc.assert(fc.property(fc.string(), (text) => !isDigest(text)))
})
