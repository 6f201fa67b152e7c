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

test('a digest is the same for whole bytes and for pieces (P8)', () => {
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

test('a copy of a digester is independent', () => {
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

test('a digest consists of an algorithm and an encoded part', () => {
  fc.assert(
    fc.property(algorithm, fc.uint8Array(), (name, bytes) => {
      const digest = digestOf(bytes, name)
      assert.equal(algorithmOf(digest), name)
      assert.equal(`${algorithmOf(digest)}:${encodedOf(digest)}`, digest)
      assert.equal(parseDigest(digest), digest)
    }),
  )
})

test('any other text is rejected with DIGEST_INVALID (P6)', () => {
  const hex = 'a'.repeat(64)
  const invalid = [
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
  for (const text of invalid) {
    assert.equal(isDigest(text), false, text)
    assert.throws(
      () => parseDigest(text),
      (error) => isRegistryError(error, 'DIGEST_INVALID'),
    )
  }
  fc.assert(fc.property(fc.string(), (text) => !isDigest(text)))
})
