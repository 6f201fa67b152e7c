import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readClaims } from '../../src/credentials/jwt-claims.ts'

function tokenOf(claims: unknown): string {
  return `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.c2ln`
}

test('whatever the claims, they are read back', () => {
  const text = fc.string()
  const fields = { iss: text, sub: text, aud: fc.array(text), exp: fc.integer() }
  const claims = fc.record(fields, { noNullPrototype: true })
  fc.assert(
    fc.property(claims, (said) => {
      const { iss, sub, aud, exp } = readClaims(tokenOf(said)) ?? {}
      assert.deepEqual({ iss, sub, aud, exp }, said)
    }),
  )
})

test('one audience is as good as a list of one', () => {
  assert.deepEqual(readClaims(tokenOf({ aud: 'x' }))?.aud, ['x'])
})

test('claims of another type are as good as missing', () => {
  const { sub, exp } = readClaims(tokenOf({ sub: 7, exp: 'soon' })) ?? {}
  assert.deepEqual([sub, exp], [undefined, undefined])
})

test('what is no JWT has no claims, whatever it is', () => {
  for (const text of ['', 'a.b', 'a.b.c.d', 'e30.bm8.c2ln', tokenOf('text'), tokenOf(null)])
    assert.equal(readClaims(text), undefined)
  fc.assert(fc.property(fc.string(), (text) => void readClaims(text)))
})
