import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { challengedScope, scopeOf } from '../../src/remote/token-scope.ts'

const repository = 'team/app'
const own = scopeOf({ repository, access: 'pull' })
const pushing = scopeOf({ repository, access: 'push' })

test('a scope names repository and actions; the registry as a whole has none', () => {
  assert.equal(own, 'repository:team/app:pull')
  assert.equal(scopeOf({ repository: '', access: 'pull' }), '')
  assert.equal(pushing, 'repository:team/app:pull,push')
  assert.equal(scopeOf({ repository, access: 'delete' }), 'repository:team/app:pull,push,delete')
  assert.equal(
    scopeOf({ repository, access: 'push', mountFrom: 'base' }),
    'repository:team/app:pull,push repository:base:pull',
  )
})

test('a challenge without a usable scope keeps the own scope', () => {
  for (const challenged of [
    undefined,
    '',
    'registry:catalog:*',
    'repository:team/app:push,delete',
    'repository:team/app:*',
    'repository:team/app',
    'nonsense',
    Array.from({ length: 5 }, (_, index) => `repository:r${index}:pull`).join(' '),
    own,
  ])
    assert.equal(challengedScope(own, challenged), own, challenged)
})

test('more read actions of the same repository are added, such as those that lists need at Azure', () => {
  const challenged = 'repository:team/app:metadata_read'
  assert.equal(challengedScope(own, challenged), 'repository:team/app:pull,metadata_read')
})

test("another registry's name for the repository takes the place of ours", () => {
  const challenged = 'repository:linkerd/app:pull,push'
  assert.equal(challengedScope(own, challenged), 'repository:linkerd/app:pull')
  assert.equal(challengedScope('', 'repository:a:pull'), 'repository:a:pull')
})

test('a challenge to a push may add read actions, and write actions of the same repository', () => {
  assert.equal(challengedScope(pushing, undefined), pushing)
  assert.equal(
    challengedScope(pushing, 'repository:team/app:metadata_write,delete,*'),
    'repository:team/app:pull,push,metadata_write',
  )
  assert.equal(
    challengedScope(pushing, 'repository:team/app:pull,push repository:base:pull,push'),
    'repository:team/app:pull,push repository:base:pull',
  )
})

test('no challenge to a push adds write actions of another repository', () => {
  const action = fc.constantFrom('pull', 'push', 'delete', '*', 'metadata_write', 'metadata_read')
  const entry = fc
    .tuple(fc.constantFrom('a', 'b/c', repository), fc.array(action, { minLength: 1 }))
    .map(([name, actions]) => `repository:${name}:${actions.join(',')}`)
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
      const scope = challengedScope(pushing, entries.join(' ')).split(' ')
      assert.match(scope[0] ?? '', /^repository:team\/app:pull,push/)
      assert.doesNotMatch(scope[0] ?? '', /delete|\*/)
      for (const each of scope.slice(1)) assert.match(each, /:(pull|metadata_read|,)+$/)
    }),
  )
})

test('no challenge to a pull adds write actions', () => {
  const action = fc.constantFrom('pull', 'push', 'delete', '*', 'metadata_write', 'metadata_read')
  const entry = fc
    .tuple(fc.constantFrom('a', 'b/c', 'host:1/d'), fc.array(action, { minLength: 1 }))
    .map(([name, actions]) => `repository:${name}:${actions.join(',')}`)
  fc.assert(
    fc.property(fc.array(entry), (entries) => {
      for (const each of challengedScope(own, entries.join(' ')).split(' '))
        assert.match(each, /:(pull|metadata_read)(,(pull|metadata_read))?$/)
    }),
  )
})
