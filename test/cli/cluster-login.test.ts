import assert from 'node:assert/strict'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { dockerImage, dockerItems } from '../support/archives.ts'
import { removeBerth, startBerth } from '../support/berth.ts'
import { startClusterIssuer } from '../support/cluster-issuer.ts'
import { runCommand } from '../support/command.ts'
import { setPodScene } from '../support/pod-scene.ts'
import { audience, tokenOf } from '../support/service-account-tokens.ts'
import { tarFile } from '../support/tar-file.ts'

const issuer = await startClusterIssuer()
after(issuer.stop)

const access = [
  {
    users: ['system:serviceaccount:team-a:ci'],
    repositories: ['local/**'],
    actions: ['pull', 'push', 'delete'],
  },
]
const serviceAccounts = { audiences: [audience], method: 'published-keys', issuer: issuer.url }
const hosted = [{ prefix: 'local' }]
const tokenPath = (namespace: string, name: string) =>
  `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`

/** The API server creates tokens of team-a/ci. */
async function setScene(
  t: TestContext,
  { forbidden = [] }: { readonly forbidden?: readonly string[] } = {},
) {
  const tokens: string[] = []
  const objects = {
    get [tokenPath('team-a', 'ci')]() {
      const token = tokenOf(issuer, { namespace: 'team-a', name: 'ci' })
      tokens.push(token)
      return { status: { token, expirationTimestamp: '2030-01-01T00:00:00Z' } }
    },
  }
  const config = { upstreams: [], hosted, auth: { serviceAccounts, access } }
  const scene = await setPodScene(t, { config, objects, forbidden })
  await writeFile(join(scene.directory, 'app.tar'), tarFile(dockerItems([dockerImage('app:1')])))
  const as = (...args: readonly string[]) =>
    scene.run(...args, '--service-account', 'team-a/ci', '-n', 'registry')
  return { ...scene, tokens, as }
}

test('commands push, list and delete as a service account, whose token nobody sees', async (t) => {
  const { as, run, tokens, berth } = await setScene(t)
  assert.match((await run('push', 'app.tar', 'app:1', '--quiet')).stderr, /401|unauthorized/i)
  const pushed = await as('push', 'app.tar', 'app:1', '-v')
  assert.equal(pushed.status, 0, pushed.stderr)
  const listed = await as('list', 'app')
  assert.equal(listed.stdout.trim(), '1', listed.stderr)
  assert.equal((await as('copy', 'app:1', 'app:2', '--quiet')).status, 0)
  assert.equal((await as('delete', 'app:1')).status, 0)
  assert.equal(tokens.length, 4)
  const users = berth.logs().filter(({ route, user }) => route !== undefined && user !== undefined)
  assert.ok(users.some(({ user }) => user === 'system:serviceaccount:team-a:ci'))
  for (const token of tokens)
    assert.ok(!`${pushed.stdout}${pushed.stderr}${JSON.stringify(berth.logs())}`.includes(token))
})

test('through a forwarded port it logs in as well', async (t) => {
  const { as } = await setScene(t, { forbidden: ['/exec'] })
  const { status, stderr } = await as('push', 'app.tar', 'app:1', '--quiet')
  assert.equal(status, 0, stderr)
})

test('copy from a private registry outside takes the login of a credential helper, and none for the cluster', async (t) => {
  const { directory, environment, plugin } = await setPodScene(t)
  const htpasswd = join(directory, 'htpasswd')
  await writeFile(htpasswd, `alice:${await hashPassword('canary-alice', 4)}\n`)
  const outside = await startBerth({
    config: { upstreams: [], auth: { htpasswd, access: [{ ...access[0], users: ['alice'] }] } },
  })
  t.after(() => removeBerth(outside))
  const { host } = new URL(outside.url)
  const helper = join(directory, 'docker-credential-team')
  // As Docker Desktop's: of a host that it does not know it says this.
  const unknown = 'credentials not found in native keychain'
  const login = JSON.stringify({ Username: 'alice', Secret: 'canary-alice' })
  await writeFile(
    helper,
    `#!/bin/sh\ncase $(cat) in ${host}) echo '${login}' ;; *) echo '${unknown}'; exit 1 ;; esac\n`,
  )
  await chmod(helper, 0o755)
  const config = join(directory, '.docker', 'config.json')
  await mkdir(join(directory, '.docker'))
  const image = `${host}/local/app:1`
  await writeFile(config, JSON.stringify({ credsStore: 'team' }))
  const push = ['image', 'push', 'app.tar', image, '--quiet']
  await writeFile(join(directory, 'app.tar'), tarFile(dockerItems([dockerImage('app:1')])))
  const own = { ...environment, PATH: `${directory}:/usr/bin:/bin` }
  const as = (...words: readonly string[]) =>
    runCommand(words, { environment: own, directory, file: plugin })
  const pushed = await runCommand(push, { environment: own, directory })
  assert.equal(pushed.status, 0, pushed.stderr)
  for (const content of [{ credsStore: 'team' }, { credHelpers: { [host]: 'team' } }]) {
    await writeFile(config, JSON.stringify({ auths: null, ...content }))
    const copied = await as('copy', image, 'app:2', '--quiet')
    assert.equal(copied.status, 0, copied.stderr)
    assert.match((await as('list', 'app')).stdout, /^2$/m)
  }
})

test('a missing right, a wrong name, a second login and a registry without accounts are said', async (t) => {
  const { as, run } = await setScene(t, { forbidden: ['/serviceaccounts/'] })
  assert.match(
    (await as('list')).stderr,
    /^berth: cannot create a token for the service account ci in team-a: .*403.*it takes the right create on serviceaccounts\/token/,
  )
  const bad = await run('list', '--service-account', 'a/b/c')
  assert.match(bad.stderr, /expected NAME or NAMESPACE\/NAME/)
  assert.match((await run('list', '--audience', 'x')).stderr, /--audience needs --service-account/)
  const open = await setScene(t)
  assert.match(
    (await open.as('list', '--credentials', 'anonymous')).stderr,
    /choose one login for localhost:30026/,
  )
  const none = await setPodScene(t)
  assert.match(
    (await none.run('list', '--service-account', 'ci')).stderr,
    /the registry accepts no tokens of service accounts; set auth\.serviceAccounts\.audiences/,
  )
})
