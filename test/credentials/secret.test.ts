import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { createSecretSource } from '../../src/credentials/secret.ts'
import { ownDirectory } from '../support/directory.ts'

const hosts = ['registry.team.svc:5000', 'localhost:5000'] as const
const auth = Buffer.from('me:pass').toString('base64')
const me = { kind: 'password', username: 'me', password: 'pass' }

const readable: Readonly<Record<string, readonly [Readonly<Record<string, string>>, object]>> = {
  'a dockerconfigjson with auth alone': [
    { '.dockerconfigjson': JSON.stringify({ auths: { [hosts[0]]: { auth } } }) },
    me,
  ],
  'a dockerconfigjson for the name that pods use': [
    { '.dockerconfigjson': JSON.stringify({ auths: { [`https://${hosts[1]}/v1/`]: { auth } } }) },
    me,
  ],
  'a basic-auth': [{ username: 'me', password: 'pass' }, me],
  'an Opaque Secret that an editor ended with newlines': [
    { username: 'me\n', password: 'pass\n', other: 'x' },
    me,
  ],
  'a token': [{ token: 'abc\n' }, { kind: 'registry-token', token: 'abc' }],
}
for (const [what, [files, credential]] of Object.entries(readable))
  test(`${what} is a login`, async (t) => {
    const directory = await ownDirectory(t)
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
    const source = createSecretSource({ directory, name: 'login', hosts })
    assert.deepEqual((await source.fetch()).credential, credential)
  })

const unreadable: Readonly<Record<string, readonly [Readonly<Record<string, string>>, RegExp]>> = {
  'a dockerconfigjson for another host': [
    { '.dockerconfigjson': JSON.stringify({ auths: { 'other.example.com': { auth } } }) },
    /^the Secret login has no entry for registry\.team\.svc:5000 or localhost:5000; it has entries for other\.example\.com$/,
  ],
  'a dockerconfigjson that is no JSON': [{ '.dockerconfigjson': auth }, /cannot|can be read/],
  'a Secret of a certificate': [
    { 'tls.crt': 'x', 'tls.key': 'y' },
    /only the keys tls\.crt, tls\.key/,
  ],
  'a password without a user': [{ password: 'pass' }, /only the keys password/],
  'a password that is empty': [{ username: 'me', password: '\n' }, /password is empty$/],
  'a user without a name': [{ username: '\n', password: 'pass' }, /an empty username/],
  'no Secret': [{}, /there is no Secret login/],
}
for (const [what, [files, message]] of Object.entries(unreadable))
  test(`${what} is an error, and never anonymous`, async (t) => {
    const directory = await ownDirectory(t)
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
    const source = createSecretSource({ directory, name: 'login', hosts })
    await assert.rejects(source.fetch(), (error: Error) => {
      assert.match(error.message, message)
      assert.ok(!error.message.includes(auth))
      return true
    })
  })

test('a Secret may become one of another type', async (t) => {
  const directory = await ownDirectory(t)
  await writeFile(join(directory, 'token'), 'abc')
  const source = createSecretSource({ directory, name: 'login', hosts })
  await source.fetch()
  await rm(join(directory, 'token'))
  await writeFile(join(directory, 'username'), 'me')
  await writeFile(join(directory, 'password'), 'pass')
  assert.deepEqual((await source.fetch()).credential, me)
})
