import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPolicy } from '../../src/auth/policy.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'

const name = parseRepositoryName
const actions = ['pull', 'push', 'delete'] as const

test('without rules every user may pull everything, and that is all', () => {
  const mayDo = createPolicy([])
  assert.ok(mayDo('anybody', 'pull', name('a/b')))
  assert.ok(!mayDo('anybody', 'push', name('a/b')))
  assert.ok(!mayDo('anybody', 'delete', name('a/b')))
})

test('with rules only what one of them grants is granted', () => {
  const mayDo = createPolicy([
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
    ['stranger', 'public/x', 'pull'],
    ['stranger', 'local/a', ''],
    ['*', 'local/a', ''],
  ]
  for (const [user, repository, expected] of granted) {
    const may = actions.filter((action) => mayDo(user, action, name(repository)))
    assert.equal(may.join(' '), expected, `${user} ${repository}`)
  }
})

test('two stars cover every name, one star a segment', () => {
  const all = createPolicy([{ users: ['*'], repositories: ['**'], actions: ['pull'] }])
  const one = createPolicy([{ users: ['*'], repositories: ['*'], actions: ['pull'] }])
  for (const repository of ['a', 'a/b', 'a.b/c-d/e__f', 'a/b/c/d/e/f'])
    assert.ok(all('u', 'pull', name(repository)), repository)
  assert.ok(one('u', 'pull', name('a')))
  assert.ok(!one('u', 'pull', name('a/b')))
})

test('what a rule excepts, it does not grant; another rule may', () => {
  const team = { repositories: ['team/**'], actions: ['pull'] } as const
  const mayDo = createPolicy([
    { ...team, users: ['*'], except: ['team/secret/**', 'team/*-internal'] },
    { ...team, users: ['alice'] },
  ])
  assert.ok(mayDo('bob', 'pull', name('team/app')))
  for (const repository of ['team/secret/app', 'team/app-internal', 'other/app'])
    assert.ok(!mayDo('bob', 'pull', name(repository)), repository)
  assert.ok(mayDo('alice', 'pull', name('team/secret/app')))
  assert.ok(!mayDo('alice', 'pull', name('other/app')))
})

test('a glob that begins with "!" grants nothing, whoever let it through (case 199)', () => {
  const repositories = ['team/**', '!team/secret/**']
  const mayDo = createPolicy([{ users: ['*'], repositories, actions: ['pull'] }])
  assert.ok(mayDo('bob', 'pull', name('team/app')))
  assert.ok(!mayDo('bob', 'pull', name('other/app')))
})

test('names of users are compared as they are', () => {
  const mayDo = createPolicy([{ users: ['Alice'], repositories: ['**'], actions: ['pull'] }])
  for (const user of ['alice', 'Alice ', 'Alic?', '', 'ALICE', '.*'])
    assert.ok(!mayDo(user, 'pull', name('a')), user)
})
