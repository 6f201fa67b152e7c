import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import {
  createDirectoryPublisher,
  readDirectories,
  rulesOf,
} from '../../src/cli/spool/spool-directories.ts'
import { type Publish, parseSpoolPath } from '../../src/spooler/spooler.ts'
import { ownDirectory } from '../support/directory.ts'

async function read(t: TestContext, text: string) {
  const file = join(await ownDirectory(t), 'directories.yaml')
  await writeFile(file, text)
  return readDirectories(file)
}

test('the logins of directories are read from a file', async (t) => {
  const text =
    'team-a: {username: a, passwordFile: /etc/a, owner: 1001, prefix: teams/a}\nteam-b: {credentials: google}\nteam-c: {tokenFile: /etc/c}\n'
  const directories = await read(t, text)
  assert.deepEqual(
    directories.map(({ pattern, login }) => [pattern, login]),
    [
      ['team-a', { username: 'a', passwordFile: '/etc/a' }],
      ['team-b', { credentials: 'google' }],
      ['team-c', { tokenFile: '/etc/c' }],
    ],
  )
  const { find } = rulesOf(directories)
  assert.deepEqual(find('team-a'), { prefix: 'teams/a', owner: 1001 })
  assert.deepEqual(find('team-b'), { prefix: 'team-b', owner: undefined })
  assert.equal(find('team-d'), undefined)
})

test("a pattern stands for several directories, and a directory's own entry comes first", async (t) => {
  const text = [
    "'team-*': {credentials: google, prefix: teams/*/images}",
    "'*-x': {credentials: aws}",
    'team-a: {credentials: azure}',
  ]
  const { find } = rulesOf(await read(t, text.join('\n')))
  const prefixOf = (name: string) => find(name)?.prefix
  assert.equal(prefixOf('team-b'), 'teams/b/images')
  assert.equal(prefixOf('team-x'), 'teams/x/images', 'the first pattern that matches')
  assert.equal(prefixOf('other-x'), 'other-x')
  assert.equal(prefixOf('team-a'), 'team-a')
  for (const name of ['team-', 'team', 'x', '-x', 'ateam-b'])
    assert.equal(prefixOf(name), undefined)
})

test("a file is pushed with the login of its directory's entry", async (t) => {
  const directories = await read(t, "'a*': {credentials: google}\naa: {credentials: aws}\n")
  const publishers = new Map(
    directories.map(({ pattern }): [string, Publish] => [
      pattern,
      async () => [{ reference: pattern }],
    ]),
  )
  const publish = createDirectoryPublisher(directories, publishers)
  const job = parseSpoolPath('app')
  assert.ok(job.kind === 'push')
  const { signal } = new AbortController()
  const loginFor = async (name: string) => {
    const [published] = await publish(job, { name, path: '', signal })
    return published?.reference
  }
  assert.equal(await loginFor('ab/app'), 'a*')
  assert.equal(await loginFor('aa/app'), 'aa')
  await assert.rejects(loginFor('b/app'), /no login/)
})

const invalid: Readonly<Record<string, readonly [text: string, message: RegExp]>> = {
  'without a directory': ['', /names no directory$/],
  'with a password': ['a: {username: a, password: canary-1}', /a: unknown field: password$/],
  'without a password file': ['a: {username: a}', /a: expected one of: username with passwordFile/],
  'with two logins': [
    'a: {username: a, passwordFile: /a, credentials: google}',
    /a: expected one of: username with passwordFile/,
  ],
  'with an unknown type of credentials': ['a: {credentials: canary-1}', /expected one of docker/],
  'with a directory of the spooler': ['failed: {credentials: google}', /one directory's name/],
  'with two patterns': ["'a*b*': {credentials: google}", /one directory's name/],
  'with a pattern in the prefix only': [
    'a: {credentials: google, prefix: a/*}',
    /prefix: has a \*/,
  ],
  'with a prefix that is no name': [
    'a: {credentials: google, prefix: ../b}',
    /prefix: expected the/,
  ],
  'with an owner that is a name': ['a: {credentials: google, owner: alice}', /owner: expected a/],
  'with a path': ['a/b: {credentials: google}', /one directory's name/],
  'that is not YAML': ['a: {password: canary-1', /directories\.yaml: .+/],
}

for (const [title, [text, message]] of Object.entries(invalid))
  test(`a file ${title} is refused, and the message quotes no value (S159)`, async (t) => {
    await assert.rejects(read(t, text), (error: Error) => {
      assert.equal(error.name, 'UsageError')
      assert.match(error.message, message)
      assert.doesNotMatch(error.message, /canary/)
      return true
    })
  })
