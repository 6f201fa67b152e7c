import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readClaims } from '../../src/credentials/jwt.ts'

function tokenOf(claims: unknown): string {
  return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`
}

test('the claims of a token are read, and others are ignored', () => {
  const claims = { iss: 'i', sub: 's', aud: ['a'], exp: 2, iat: 1, oid: 'o', more: { x: 1 } }
  assert.deepEqual(readClaims(tokenOf(claims)), claims)
})

test('a single audience equals a list of one', () => {
  assert.deepEqual(readClaims(tokenOf({ aud: 'x' }))?.aud, ['x'])
})

test('a claim of another type counts as missing, and the others are read', () => {
  const claims = readClaims(tokenOf({ exp: '2', iat: 1, aud: 7 }))
  assert.deepEqual([claims?.exp, claims?.iat, claims?.aud], [undefined, 1, undefined])
})

test('a text that is not a token has no claims, and does not throw', () => {
  for (const text of [
    '',
    'a.b.c',
    'password',
    tokenOf([]),
    tokenOf('text'),
    tokenOf(null),
    'e30.e30',
    'a.b.c.d',
  ])
    assert.equal(readClaims(text), undefined, text)
  fc.assert(fc.property(fc.string(), (text) => readClaims(text) === undefined))
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const claims = readClaims(tokenOf(value))
      assert.equal(
        claims !== undefined,
        typeof value === 'object' && value !== null && !Array.isArray(value),
      )
    }),
  )
})
