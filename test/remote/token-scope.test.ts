import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { challengedScope, scopeOf } from '../../src/remote/token-scope.ts'

const own = scopeOf('team/app')

test('a scope names repository and action; the registry as a whole has none', () => {
  assert.equal(own, 'repository:team/app:pull')
  assert.equal(scopeOf(''), '')
})

test('a challenge that names no scope of use leaves ours', () => {
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

test('more actions of the same repository are added, such as what lists need at Azure', () => {
  const challenged = 'repository:team/app:metadata_read'
  assert.equal(challengedScope(own, challenged), 'repository:team/app:pull,metadata_read')
})

test("another registry's name for the repository takes the place of ours", () => {
  const challenged = 'repository:linkerd/app:pull,push'
  assert.equal(challengedScope(own, challenged), 'repository:linkerd/app:pull')
  assert.equal(challengedScope('', 'repository:a:pull'), 'repository:a:pull')
})

test('whatever a challenge asks for, nothing that writes is asked for', () => {
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
