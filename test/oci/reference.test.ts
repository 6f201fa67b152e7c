import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseDigest } from '../../src/oci/digest.ts'
import { isRegistryError } from '../../src/oci/errors.ts'
import {
  formatReference,
  isRepositoryName,
  joinName,
  nameBelow,
  parseReference,
  parseRepositoryName,
  referrersTag,
} from '../../src/oci/reference.ts'

const part = fc.stringMatching(/^[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,3}$/)
const name = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'))

test('every name of the grammar is a repository name', () => {
  fc.assert(fc.property(name, (text) => text.length > 255 || isRepositoryName(text)))
})

test('any other text is rejected with NAME_INVALID (P6)', () => {
  const invalid = ['', '/', 'A', 'a//b', '../a', 'a/..', 'a/', '/a', 'a_-b', 'a\0', 'a'.repeat(256)]
  for (const text of invalid) {
    assert.throws(
      () => parseRepositoryName(text),
      (error) => isRegistryError(error, 'NAME_INVALID'),
    )
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        return parseRepositoryName(text) === text
      } catch (error) {
        return isRegistryError(error, 'NAME_INVALID')
      }
    }),
  )
})

test('a reference with a colon is never a tag (P7)', () => {
  assert.throws(
    () => parseReference('foo:bar'),
    (error) => isRegistryError(error, 'DIGEST_INVALID'),
  )
})

test('a parsed reference is formatted unchanged', () => {
  const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/)
  const digest = fc.stringMatching(/^sha256:[a-f0-9]{64}$/)
  fc.assert(
    fc.property(fc.oneof(tag, digest), (text) => formatReference(parseReference(text)) === text),
  )
})

test('a prefix matches whole segments only', () => {
  fc.assert(
    fc.property(name, name, (prefix, rest) => {
      if (`${prefix}/${rest}`.length > 255) return true
      return nameBelow(prefix, joinName(prefix, rest)) === rest
    }),
  )
  assert.equal(nameBelow('docker.io', parseRepositoryName('docker.iox/a')), undefined)
  assert.equal(nameBelow('docker.io', parseRepositoryName('docker.io')), undefined)
})

test('the referrers tag of a long digest is truncated as specified', () => {
  const digest = parseDigest(`sha512:${'a'.repeat(128)}`)
  assert.equal(referrersTag(digest), `sha512-${'a'.repeat(64)}`)
})
