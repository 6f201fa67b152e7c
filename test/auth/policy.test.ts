import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPolicy } from '../../src/auth/policy.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'

const name = parseRepositoryName
/** For users of an htpasswd file. */
function policyOf(rules: Parameters<typeof createPolicy>[0]) {
  const { allows } = createPolicy(rules)
  type Arguments = Parameters<typeof allows>
  return (user: string, action: Arguments[1], name: Arguments[2]) =>
    allows({ kind: 'user', name: user }, action, name)
}
const actions = ['pull', 'push', 'delete'] as const

test('without rules every user may pull everything, but not push or delete', () => {
  const allows = policyOf([])
  assert.ok(allows('alice', 'pull', name('a/b')))
  assert.ok(!allows('alice', 'push', name('a/b')))
  assert.ok(!allows('alice', 'delete', name('a/b')))
})

test('with rules, access needs a rule that allows it', () => {
  const allows = policyOf([
    { users: ['ci'], repositories: ['local/**'], actions: ['pull', 'push'] },
    {
      users: ['alice', 'bob'],
      repositories: ['docker.io/library/*', 'local/a'],
      actions: ['pull'],
    },
    { users: ['*'], repositories: ['public/**'], actions: ['pull'] },
  ])
  const granted: readonly (readonly [user: string, repository: string, granted: string])[] = [
    ['ci', 'local/a', 'pull push'],
    ['ci', 'local/a/b/c', 'pull push'],
    ['ci', 'localhost/a', ''],
    ['ci', 'docker.io/library/busybox', ''],
    ['ci', 'public/a', 'pull'],
    ['alice', 'docker.io/library/busybox', 'pull'],
    ['alice', 'docker.io/library/a/b', ''],
    ['bob', 'local/a', 'pull'],
    ['bob', 'local/ab', ''],
    ['other', 'public/x', 'pull'],
    ['other', 'local/a', ''],
    ['*', 'local/a', ''],
  ]
  for (const [user, repository, expected] of granted) {
    const may = actions.filter((action) => allows(user, action, name(repository)))
    assert.equal(may.join(' '), expected, `${user} ${repository}`)
  }
})

test('two stars match every name, one star matches a segment', () => {
  const all = policyOf([{ users: ['*'], repositories: ['**'], actions: ['pull'] }])
  const one = policyOf([{ users: ['*'], repositories: ['*'], actions: ['pull'] }])
  for (const repository of ['a', 'a/b', 'a.b/c-d/e__f', 'a/b/c/d/e/f'])
    assert.ok(all('u', 'pull', name(repository)), repository)
  assert.ok(one('u', 'pull', name('a')))
  assert.ok(!one('u', 'pull', name('a/b')))
})

test('a rule does not allow its exceptions; another rule can', () => {
  const team = { repositories: ['team/**'], actions: ['pull'] } as const
  const allows = policyOf([
    { ...team, users: ['*'], except: ['team/secret/**', 'team/*-internal'] },
    { ...team, users: ['alice'] },
  ])
  assert.ok(allows('bob', 'pull', name('team/app')))
  for (const repository of ['team/secret/app', 'team/app-internal', 'other/app'])
    assert.ok(!allows('bob', 'pull', name(repository)), repository)
  assert.ok(allows('alice', 'pull', name('team/secret/app')))
  assert.ok(!allows('alice', 'pull', name('other/app')))
})

test('a glob that begins with "!" matches nothing (case 199)', () => {
  const repositories = ['team/**', '!team/secret/**']
  const allows = policyOf([{ users: ['*'], repositories, actions: ['pull'] }])
  assert.ok(allows('bob', 'pull', name('team/app')))
  assert.ok(!allows('bob', 'pull', name('other/app')))
})

test('user names are compared exactly', () => {
  const allows = policyOf([{ users: ['Alice'], repositories: ['**'], actions: ['pull'] }])
  for (const user of ['alice', 'Alice ', 'Alic?', '', 'ALICE', '.*'])
    assert.ok(!allows(user, 'pull', name('a')), user)
})
