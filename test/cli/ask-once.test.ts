import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { loginOf } from '../../src/cli/ask-once.ts'

suite('a credential as a user name and a password', () => {
  test('has the token in place of the password', () => {
    const login = { username: 'u', password: 's' }
    assert.deepEqual(loginOf({ kind: 'password', ...login }), login)
    for (const kind of ['access-token', 'identity-token'] as const)
      assert.deepEqual(loginOf({ kind, username: 'u', token: 's' }), login)
  })

  test('is none for an anonymous one, and for an identity token that is good at no registry', () => {
    assert.equal(loginOf({ kind: 'anonymous' }), undefined)
    assert.equal(loginOf({ kind: 'identity-token', username: '', token: 's' }), undefined)
  })
})
