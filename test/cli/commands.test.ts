import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parse } from 'yaml'
import { createAuth } from '../../src/auth/auth.ts'
import { basicOf } from '../support/canaries.ts'
import { runCommand, sources } from '../support/command.ts'

const header = (user: string, password: string) => `Basic ${basicOf(user, password)}`

suite('berth', { concurrency: 4 }, () => {
  test('prints its version, and mentions --help after an unknown command', async () => {
    const version = await runCommand(['--version'])
    assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
    assert.equal((await runCommand(['version'])).stdout, version.stdout)
    const unknown = await runCommand(['sreve'])
    assert.equal(unknown.status, 1)
    assert.match(unknown.stderr, /unknown command 'sreve'/)
    assert.match(unknown.stderr, /berth --help/)
  })

  test('has help for each command, with examples', async () => {
    const help = await runCommand(['--help'])
    const all = [
      ...['serve', 'config', 'htpasswd', 'pull-secret'],
      ...['docker-credential', 'kubelet-credential-provider', 'trust'],
    ]
    for (const command of all) assert.match(help.stdout, new RegExp(`^  ${command} `, 'm'))
    const spool = ['spool wait', 'spool list', 'spool retry', 'spool status']
    const commands = [
      ...all.filter((name) => name !== 'config'),
      'config schema',
      'doctor node',
      'doctor bucket',
      ...spool,
    ]
    const pages = await Promise.all(
      commands.map((command) => runCommand([...command.split(' '), '--help'])),
    )
    for (const [at, { stdout }] of pages.entries())
      assert.match(stdout, /\nExamples?:\n {2}/, commands[at])
  })
})

test('the help of repeatable options shows no internal default', async () => {
  for (const command of ['serve', 'trust', 'doctor upstream', 'doctor node', 'doctor bucket']) {
    const { stdout } = await runCommand([...command.split(' '), '--help'])
    assert.doesNotMatch(stdout, /preset:|default:\s*\[/, command)
  }
})

suite('a credential helper', { concurrency: 4 }, () => {
  /** Prints on exit whether the server's framework was loaded. */
  const preload = `data:text/javascript,${encodeURIComponent(`
    import { createRequire } from 'node:module'
    const { cache } = createRequire(${JSON.stringify(sources)})
    const isLoaded = () => Object.keys(cache).some((file) => file.includes('/fastify/'))
    process.on('exit', () => process.stderr.write(isLoaded() ? 'all of it' : 'a part'))
  `)}`

  test("does not load the server's dependencies", async () => {
    const loads = async (...args: string[]) =>
      (await runCommand(args, { file: sources, preload })).stderr
    assert.equal(await loads('serve', '--print-config'), 'all of it')
    assert.equal(await loads('docker-credential', 'list'), 'a part')
    assert.equal(await loads('kubelet-credential-provider', '--print-config'), 'a part')
  })
})

suite('berth config', { concurrency: 4 }, () => {
  test('schema prints a JSON Schema', async () => {
    const { status, stdout, stderr } = await runCommand(['config', 'schema'])
    assert.equal(status, 0)
    assert.equal(stderr, '')
    const schema = JSON.parse(stdout) as { type: string; properties: object }
    assert.equal(schema.type, 'object')
    assert.ok('upstreams' in schema.properties)
  })

  test('table prints a table of each section in Markdown', async () => {
    const { status, stdout } = await runCommand(['config', 'table'])
    assert.equal(status, 0)
    const lines = stdout.trimEnd().split('\n')
    const sections = lines.filter((line) => line.startsWith('### '))
    const rows = lines.filter((line) => line.startsWith('|'))
    const heads = rows.filter((row) => row === '| field | default | meaning | environment |')
    assert.ok(sections.length > 5)
    assert.equal(heads.length, sections.length)
    assert.ok(rows.length > 20 + 2 * heads.length)
    for (const row of rows) assert.equal(row.split('|').length, 6, row)
  })
})

suite('berth serve --print-config', { concurrency: 4 }, () => {
  test('prints the effective configuration, and does not start the server', async () => {
    const { status, stdout, stderr } = await runCommand(
      ['serve', '--print-config', '--storage-cache-max-size', '50GiB', '--set', 'log.level=warn'],
      { environment: { BERTH_LISTEN: '127.0.0.1:5000', BERTH_PORT: 'tcp://10.0.0.1:30026' } },
    )
    assert.equal(status, 0)
    assert.equal(stderr, '')
    const config = parse(stdout)
    assert.equal(config.listen, '127.0.0.1:5000')
    assert.equal(config.storage.cache.maxSize, '50GiB')
    assert.equal(config.log.level, 'warn')
  })

  test('treats a boolean flag without a value as true', async () => {
    const printed = async (...flags: readonly string[]) =>
      parse((await runCommand(['serve', '--print-config', ...flags])).stdout).sendfile
    assert.equal(await printed('--sendfile'), true)
    assert.equal(await printed('--sendfile', 'false'), false)
  })

  test('hides secrets', async () => {
    const environment = {
      BERTH_UPSTREAMS_0_CREDENTIALS_TYPE: 'static',
      BERTH_UPSTREAMS_0_CREDENTIALS_USERNAME: 'u',
      BERTH_UPSTREAMS_0_CREDENTIALS_PASSWORD: 'canary-of-the-environment',
    }
    const { status, stdout, stderr } = await runCommand(['serve', '--print-config'], {
      environment,
    })
    assert.equal(status, 0)
    assert.doesNotMatch(stdout + stderr, /canary/)
    assert.match(stdout, /\[hidden\]/)
  })

  test('has no flag for a secret', async () => {
    const help = await runCommand(['serve', '--help'])
    assert.doesNotMatch(help.stdout, /--\S*password/)
    const set = 'upstreams[0].credentials.password=canary-of-an-argument'
    const { status, stderr } = await runCommand(['serve', '--set', set])
    assert.equal(status, 1)
    assert.doesNotMatch(stderr, /canary/)
  })
})

suite('berth htpasswd', { concurrency: 4 }, () => {
  test('prints a line with which the user can log in', async () => {
    for (const input of ['päss:word', 'päss:word\r\n']) {
      const { status, stdout, stderr } = await runCommand(['htpasswd', 'alice'], { input })
      assert.equal(status, 0)
      assert.match(stdout, /^alice:\$2y\$10\$[./A-Za-z0-9]{53}\n$/)
      assert.doesNotMatch(stdout + stderr, /word/)
      const auth = await createAuth({ htpasswd: stdout, anonymous: 'none', access: [] })
      const identity = await auth.authenticate(header('alice', 'päss:word'))
      assert.deepEqual(identity, { kind: 'user', name: 'alice' })
    }
  })

  test('uses --cost', async () => {
    const { stdout } = await runCommand(['htpasswd', 'alice', '--cost', '4'], { input: 'p' })
    assert.match(stdout, /^alice:\$2y\$04\$/)
    for (const cost of ['3', '17', '1e1']) {
      const { status, stderr } = await runCommand(['htpasswd', 'a', `--cost=${cost}`], {
        input: 'p',
      })
      assert.equal(status, 1, cost)
      assert.match(stderr, /^berth: --cost must be a number from 4 to 16\n$/)
    }
  })

  test('rejects passwords and users that could not log in, with a one-line error (A102)', async () => {
    const rejected: readonly (readonly [user: string, input: string, message: RegExp])[] = [
      ['a', 'x'.repeat(73), /longer than 72 bytes/],
      ['a', '', /the password is empty/],
      ['a', 'one\ntwo\n', /control characters/],
      ['a:b', 'p', /a user name must not contain colons/],
    ]
    for (const [user, input, message] of rejected) {
      const { status, stdout, stderr } = await runCommand(['htpasswd', user], { input })
      assert.equal(status, 1, user)
      assert.equal(stdout, '')
      assert.match(stderr, message)
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr)
    }
  })

  test('does not take the password as an argument', async () => {
    const { status, stderr } = await runCommand(['htpasswd', 'alice', 'secret'])
    assert.equal(status, 1)
    assert.match(stderr, /too many arguments/)
  })
})

suite('berth pull-secret', { concurrency: 4 }, () => {
  /** What kubelets read: the entry of one server. */
  const entryOf = (config: string, server: string) => {
    const { auths } = JSON.parse(config) as { auths: Record<string, { auth: string }> }
    assert.deepEqual(Object.keys(auths), [server])
    return Buffer.from(auths[server]?.auth ?? '', 'base64').toString()
  }

  test('prints a manifest with the config.json of the login', async () => {
    const args = ['pull-secret', 'kubelet', '-n', 'my-app', '--name', 'regcred', '--server', 'b:1']
    const { status, stdout, stderr } = await runCommand(args, { input: 'p:ä\n' })
    assert.equal(status, 0)
    const manifest = parse(stdout)
    assert.equal(manifest.kind, 'Secret')
    assert.equal(manifest.type, 'kubernetes.io/dockerconfigjson')
    assert.deepEqual(manifest.metadata, { name: 'regcred', namespace: 'my-app' })
    const config = Buffer.from(manifest.data['.dockerconfigjson'], 'base64').toString()
    assert.equal(entryOf(config, 'b:1'), 'kubelet:p:ä')
    assert.match(stderr, /imagePullSecrets: \[\{ name: regcred \}\]/)
    assert.match(stderr, /kubectl create secret docker-registry regcred --namespace my-app/)
    assert.doesNotMatch(stderr, /p:ä/)
  })

  test('prints the config.json alone', async () => {
    const args = ['pull-secret', 'kubelet', '-o', 'docker-config']
    const { status, stdout } = await runCommand(args, { input: 'p' })
    assert.equal(status, 0)
    assert.equal(entryOf(stdout, 'localhost:30026'), 'kubelet:p')
  })

  test('omits the namespace without --namespace', async () => {
    const { stdout, stderr } = await runCommand(['pull-secret', 'kubelet'], { input: 'p' })
    assert.deepEqual(parse(stdout).metadata, { name: 'berth-pull' })
    assert.doesNotMatch(stderr, /namespace/)
  })

  test('quotes a name that YAML would read as another type', async () => {
    const args = ['pull-secret', 'kubelet', '--name', '123', '-n', 'on']
    const { stdout } = await runCommand(args, { input: 'p' })
    assert.deepEqual(parse(stdout, { version: '1.1' }).metadata, { name: '123', namespace: 'on' })
  })

  test('rejects an invalid login', async () => {
    for (const [user, input] of [
      ['a:b', 'p'],
      ['a', '\n'],
      ['a', 'one\ntwo\n'],
    ] as const) {
      const { status, stdout, stderr } = await runCommand(['pull-secret', user], { input })
      assert.equal(status, 1, `${user} ${input}`)
      assert.equal(stdout, '')
      assert.match(stderr, /^berth: .+\n$/)
    }
    const format = await runCommand(['pull-secret', 'a', '-o', 'json'], { input: 'p' })
    assert.equal(format.status, 1)
    assert.match(format.stderr, /Allowed choices are yaml, docker-config/)
  })
})
