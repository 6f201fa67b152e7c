import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { stringify } from 'yaml'
import { dockerImage, dockerItems } from '../support/archives.ts'
import { type Berth, removeBerth, startBerth } from '../support/berth.ts'
import { type ClusterIssuer, startClusterIssuer } from '../support/cluster-issuer.ts'
import { main, runCommand } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'
import { htpasswdLine } from '../support/docker-registry.ts'
import { type ExecApiServer, startExecApiServer } from '../support/exec-api-server.ts'
import { attempt, run, tool } from '../support/programs.ts'
import { audience, tokenOf } from '../support/service-account-tokens.ts'
import { tarFile } from '../support/tar-file.ts'

const directory = await useDirectory()
const bin = join(directory, 'bin')
const calls = join(directory, 'calls')
const shim = join(bin, 'kubectl-berth')
const login = { user: 'alice', password: 'a %s$(secret)`of\\"alice' }

suite('the shell script of berth shim', () => {
  let berth: Berth
  let api: ExecApiServer
  let issuer: ClusterIssuer
  let token = ''

  before(async () => {
    await mkdir(bin)
    const htpasswd = join(directory, 'htpasswd')
    await writeFile(htpasswd, await htpasswdLine(login))
    const users = ['alice', 'system:serviceaccount:team-a:ci']
    const access = [{ users, repositories: ['**'], actions: ['pull', 'push', 'delete'] }]
    issuer = await startClusterIssuer()
    const serviceAccounts = { audiences: [audience], method: 'published-keys', issuer: issuer.url }
    berth = await startBerth({
      config: { hosted: [{ prefix: 'local' }], auth: { htpasswd, access, serviceAccounts } },
    })
    const socketFor = (verb: string) =>
      join(berth.cache, verb === 'status' ? 'berth-query.sock' : 'berth-pipe.sock')
    api = await startExecApiServer({
      token: null,
      objects: {
        '/api/v1/namespaces/team-a/pods': { kind: 'PodList', apiVersion: 'v1', items: [surrogate] },
        '/api/v1/namespaces/team-a/pods/team-surrogate-0': surrogate,
        get '/api/v1/namespaces/team-a/serviceaccounts/ci/token'() {
          token = tokenOf(issuer, { namespace: 'team-a', name: 'ci' })
          const status = { token, expirationTimestamp: '2030-01-01T00:00:00Z' }
          return { kind: 'TokenRequest', apiVersion: 'authentication.k8s.io/v1', spec: {}, status }
        },
      },
      // As other tests run on this machine, the socket is named.
      program: ([, verb = '', ...args]) => [
        ...[process.execPath, main, verb, `--socket=${socketFor(verb)}`, ...args],
      ],
    })
    await writeFile(shim, await run([process.execPath, main, 'shim']))
    const recording = `#!/bin/sh\nprintf '%s\\n' "$*" >>${calls}\nexec ${tool('kubectl')} "$@"\n`
    await writeFile(join(bin, 'kubectl'), recording)
    for (const name of ['kubectl', 'kubectl-berth']) await chmod(join(bin, name), 0o755)
    await writeFile(join(directory, 'kubeconfig'), kubeconfig(api))
    await writeFile(join(directory, 'password'), login.password)
    await push(berth)
  })
  after(async () => {
    await api?.close()
    await issuer?.stop()
    if (berth !== undefined) await removeBerth(berth)
  })

  const environment = {
    PATH: `${bin}:/usr/bin:/bin`,
    HOME: directory,
    KUBECONFIG: join(directory, 'kubeconfig'),
  }
  const withPassword = ['-u', login.user, `--password-file=${join(directory, 'password')}`]

  test('has no faults that shellcheck knows', async () => {
    await run(['shellcheck', shim])
  })

  for (const shell of [['dash'], ['busybox', 'sh']]) {
    const execute = (words: readonly string[], input?: string) =>
      attempt([...shell, shim, ...words], { environment, ...(input !== undefined && { input }) })
    const succeed = async (words: readonly string[], input?: string) => {
      const { status, stdout, output } = await execute(words, input)
      assert.equal(status, 0, output)
      return stdout
    }

    test(`${shell[0]}: lists, copies, inspects and deletes in the pod`, async () => {
      assert.equal(await succeed(['list', 'app', ...withPassword]), '1\n')
      await succeed(['copy', 'app:1', 'app:2', '-q', ...withPassword])
      const json = await succeed(['inspect', '-n', 'registry', 'app:2', '-ojson', ...withPassword])
      assert.match(JSON.parse(json).digest, /^sha256:/)
      await succeed(['delete', ...withPassword, '--', 'app:2'])
      assert.equal(await succeed([...['list', 'app'], ...withPassword]), '1\n')
    })

    test(`${shell[0]}: hands no password to any program as an argument`, async () => {
      await rm(calls, { force: true })
      await succeed(['list', '-ualice', '--password-stdin'], login.password)
      const auth = Buffer.from(`${login.user}:${login.password}`).toString('base64')
      const config = { auths: { other: { auth: 'eA==' }, 'localhost:30026': { auth } } }
      await mkdir(join(directory, '.docker'), { recursive: true })
      for (const text of [JSON.stringify(config), JSON.stringify(config, undefined, '\t')]) {
        await writeFile(join(directory, '.docker/config.json'), text)
        assert.equal(await succeed(['list']), 'local/app\n')
      }
      await rm(join(directory, '.docker'), { recursive: true })
      const called = await readFile(calls, 'utf8')
      assert.equal(called.match(/^exec /gm)?.length, 3)
      assert.ok(!called.includes(login.password) && !called.includes(auth))
    })

    test(`${shell[0]}: logs in as a service account, whose token nobody sees`, async () => {
      await rm(calls, { force: true })
      assert.equal(await succeed(['list', 'app', '--service-account=team-a/ci']), '1\n')
      const called = await readFile(calls, 'utf8')
      assert.ok(
        called.includes(`create token ci --namespace=team-a --audience=${audience}`),
        called,
      )
      assert.ok(token !== '' && !called.includes(token))
      for (const [words, message] of [
        [['list', '--service-account', 'a/b/c'], /expected NAME or NAMESPACE\/NAME/],
        [['list', '--service-account', 'ci', ...withPassword], /choose one login/],
        [['list', '--audience', 'x'], /--audience needs --service-account/],
        [['tag', '--service-account', 'ci'], /tag needs no login/],
      ] as const) {
        const { status, output } = await execute(words)
        assert.equal(status, 1)
        assert.match(output, message)
      }
    })

    test(`${shell[0]}: reaches a Registry by its surrogate, under its own host`, async () => {
      await rm(calls, { force: true })
      const where = ['-n', 'team-a', '--registry', 'team', ...withPassword]
      const json = await succeed(['inspect', 'app:1', '-ojson', ...where])
      assert.equal(JSON.parse(json).image, 'own.example.com/local/app:1')
      assert.match(await readFile(calls, 'utf8'), /component=surrogate,berth\.dev\/registry=team /)
    })

    test(`${shell[0]}: passes on status, context and namespace, and says what it cannot do`, async () => {
      const wrong = await execute(['list', 'app', '-u', 'alice', '--password-stdin'], 'wrong')
      assert.equal(wrong.status, 1)
      assert.match(wrong.output, /401|unauthorized/i)
      const elsewhere = await execute(['list', '-n', 'empty'])
      assert.deepEqual([elsewhere.status, /found no registry/.test(elsewhere.output)], [1, true])
      const context = await execute(['list', '--context', 'nowhere'])
      assert.match(context.output, /context: nowhere/)
      assert.equal(context.status, 1)
      for (const verb of ['push', 'pull', 'connect']) {
        const { status, output } = await execute([verb, 'app:1'])
        assert.equal(status, 1)
        assert.match(output, new RegExp(`${verb} needs Berth itself on this machine`))
      }
      const verbose = await execute(['list', '-v', ...withPassword])
      assert.match(verbose.output, /^in pod berth-0 in namespace registry$/m)
    })
  }

  test('is a plugin of kubectl', async () => {
    const words = ['berth', 'list', 'app', ...withPassword]
    assert.equal(await run([join(bin, 'kubectl'), ...words], { environment }), '1\n')
  })
})

const surrogate = {
  kind: 'Pod',
  apiVersion: 'v1',
  metadata: {
    name: 'team-surrogate-0',
    namespace: 'team-a',
    labels: {},
    annotations: { 'berth.dev/host': 'own.example.com' },
  },
  spec: { containers: [{ name: 'berth' }] },
  status: { conditions: [{ type: 'Ready', status: 'True' }] },
}

function kubeconfig({ url }: ExecApiServer): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: url } }],
    users: [{ name: 'u', user: {} }],
    contexts: [{ name: 'here', context: { cluster: 'c', user: 'u', namespace: 'other' } }],
    'current-context': 'here',
  })
}

async function push({ url }: Berth): Promise<void> {
  const file = join(directory, 'app.tar')
  await writeFile(file, tarFile(dockerItems([dockerImage('app:1')])))
  const target = `${new URL(url).host}/local/app:1`
  const { status, stderr } = await runCommand(
    [
      ...['image', 'push', file, target, '--plain-http', '-u', login.user],
      ...['--password-file', join(directory, 'password')],
    ],
    {},
  )
  assert.equal(status, 0, stderr)
}
