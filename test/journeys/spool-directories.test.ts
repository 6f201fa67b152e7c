import assert from 'node:assert/strict'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { removeBerth, startBerth } from '../support/berth.ts'
import { main } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { attempt } from '../support/programs.ts'
import { droppedFiles, startSpool } from '../support/spool-process.ts'

const users = ['team-a', 'team-b']
const passwordOf = (user: string) => `canary-${user}`

test('each directory of a spool pushes with its own login, and reaches no other one (S159, S160)', async (t) => {
  const files = await ownDirectory(t)
  const root = join(files, 'spool')
  const htpasswd = join(files, 'htpasswd')
  const lines = users.map(async (user) => `${user}:${await hashPassword(passwordOf(user), 4)}\n`)
  await writeFile(htpasswd, (await Promise.all(lines)).join(''))
  for (const user of users) {
    await mkdir(join(root, user), { recursive: true })
    await writeFile(join(files, user), passwordOf(user))
  }
  await mkdir(join(root, 'team-c'))
  const actions = ['pull', 'push', 'delete']
  // What the user team-b may push is not what its directory is called.
  const access = [
    { users: ['team-a'], repositories: ['local/team-a/**', 'local/team-b/**'], actions },
    { users: ['team-b'], repositories: ['local/team-b/open/**'], actions },
  ]
  const berth = await startBerth({ config: { upstreams: [], auth: { htpasswd, access } } })
  t.after(() => removeBerth(berth))
  const directories = join(files, 'directories.yaml')
  const login = (user: string) => `${user}: {username: ${user}, passwordFile: ${join(files, user)}}`
  await writeFile(directories, users.map(login).join('\n'))
  const registry = new URL(berth.url).host
  const spool = await startSpool({ root, registry, args: ['--directories', directories] })
  t.after(() => spool.kill())

  const result = async (name: string) => {
    await writeFile(join(root, `${name}~`), 'x')
    await rename(join(root, `${name}~`), join(root, name))
    const words = ['spool', 'wait', '-d', root, name, '--timeout', '60']
    const waited = await attempt([process.execPath, main, ...words], {
      environment: { HOME: root },
    })
    return waited.output
  }
  assert.match(await result('team-a/app'), /^pushed \S+\/local\/team-a\/app:latest@sha256:/)
  assert.match(
    await result('team-b\\app'),
    /failed: only files in these directories .* team-a, team-b/,
  )
  assert.match(await result('team-c/app'), /failed: only files in these directories/)
  assert.match(await result('team-a/x\\..\\..\\team-b\\app'), /failed: .* is not a repository name/)
  assert.match(await result('team-b/app'), /failed: .*403: user team-b may not push/)
  assert.match(await result('team-b/open\\app'), /^pushed \S+\/local\/team-b\/open\/app:latest@/)
  assert.equal((await fetch(`${spool.health}/ready`)).status, 200)
  const record = await readFile(join(root, 'failed/team-b/app.json'), 'utf8')
  assert.doesNotMatch(spool.output() + record, /canary/)
})

test('files wait while the registry refuses the login, and are pushed when it is mended', async (t) => {
  const files = await ownDirectory(t)
  const root = join(files, 'spool')
  const htpasswd = join(files, 'htpasswd')
  const passwordFile = join(files, 'password')
  await writeFile(htpasswd, `a:${await hashPassword('right', 4)}\n`)
  await writeFile(passwordFile, 'wrong')
  await mkdir(root)
  const access = [{ users: ['a'], repositories: ['local/**'], actions: ['pull', 'push'] }]
  const berth = await startBerth({ config: { upstreams: [], auth: { htpasswd, access } } })
  t.after(() => removeBerth(berth))
  const args = ['-u', 'a', '--password-file', passwordFile]
  const spool = await startSpool({ root, registry: new URL(berth.url).host, args })
  t.after(() => spool.kill())
  await writeFile(join(root, 'app'), 'x')
  await spool.wrote(/will retry/)
  assert.deepEqual(await droppedFiles(root), ['app'])
  await writeFile(passwordFile, 'right')
  await spool.wrote(/"pushed"/)
  assert.deepEqual(await droppedFiles(root), [])
})

test('a login of the command beside those of directories is refused', async (t) => {
  const directory = await ownDirectory(t)
  const words = ['spool', '-d', directory, '--directories', 'any', '--credentials', 'google']
  const { status, output } = await attempt([process.execPath, main, ...words], {
    environment: { HOME: directory },
  })
  assert.equal(status, 1)
  assert.match(output, /--directories has the credentials/)
})
