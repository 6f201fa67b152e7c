import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { loginOf } from '../../src/credentials/credentials.ts'

suite('loginOf', () => {
  test('returns a token as the password', () => {
    const login = { username: 'u', password: 's' }
    assert.deepEqual(loginOf({ kind: 'password', ...login }), login)
    for (const kind of ['access-token', 'identity-token'] as const)
      assert.deepEqual(loginOf({ kind, username: 'u', token: 's' }), login)
  })

  test('is undefined for an anonymous credential, and for an identity token without a user name', () => {
    assert.equal(loginOf({ kind: 'anonymous' }), undefined)
    assert.equal(loginOf({ kind: 'identity-token', username: '', token: 's' }), undefined)
  })
})
