import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readDirectories } from '../../src/cli/spool-directories.ts'
import { ownDirectory } from '../support/directory.ts'

async function read(t: TestContext, text: string) {
  const file = join(await ownDirectory(t), 'directories.yaml')
  await writeFile(file, text)
  return readDirectories(file)
}

test('the logins of directories are read from a file', async (t) => {
  const text = 'team-a: {username: a, passwordFile: /etc/a}\nteam-b: {credentials: google}\n'
  assert.deepEqual(
    [...(await read(t, text))],
    [
      ['team-a', { username: 'a', passwordFile: '/etc/a' }],
      ['team-b', { credentials: 'google' }],
    ],
  )
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
