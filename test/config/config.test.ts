import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import {
  type Config,
  fieldsTable,
  jsonSchema,
  listFlags,
  loadConfig,
  printConfig,
} from '../../src/config/config.ts'
import { createCanaries } from '../support/canaries.ts'
import { ownDirectory } from '../support/directory.ts'

type Options = {
  /** The file: its text, or an object to write as YAML. */
  readonly file?: unknown
  readonly environment?: Readonly<Record<string, string>>
  readonly flags?: Readonly<Record<string, string>>
  readonly set?: readonly string[]
}

async function load(
  t: TestContext,
  { file, environment = {}, flags = {}, set = [] }: Options = {},
) {
  const options = { environment, flags, set }
  if (file === undefined) return loadConfig(options).config
  const path = join(await ownDirectory(t), 'berth.yaml')
  await writeFile(path, typeof file === 'string' ? file : stringify(file))
  return loadConfig({ ...options, file: path }).config
}

/** The lines of the error message for an invalid configuration. */
async function complaints(t: TestContext, options: Options): Promise<readonly string[]> {
  try {
    await load(t, options)
  } catch (error) {
    assert.ok(error instanceof Error && error.name === 'ConfigError', String(error))
    return error.message.split('\n').map((line) => line.trim())
  }
  return assert.fail('the configuration is valid')
}

const upstream = { url: 'https://registry.example.org' }

test('flags override the environment, which overrides the file', async (t) => {
  const file = {
    log: { level: 'warn' },
    storage: { cache: { maxSize: '1GiB' } },
    listen: 'localhost:1',
  }
  const environment = { BERTH_STORAGE_CACHE_MAX_SIZE: '2GiB', BERTH_LISTEN: 'localhost:2' }
  const flags = { listen: 'localhost:3' }
  const config = await load(t, { file, environment, flags })
  assert.equal(config.log.level, 'warn')
  assert.equal(config.storage.cache.maxSize, 2 * 2 ** 30)
  assert.equal(config.listen.port, 3)
  const set = ['listen=localhost:4']
  assert.equal((await load(t, { file, environment, flags, set })).listen.port, 4)
})

test('$BERTH_CONFIG names the file, and a flag overrides it', async (t) => {
  const directory = await ownDirectory(t)
  const [one, other] = [join(directory, 'one.yaml'), join(directory, 'other.yaml')]
  await writeFile(one, 'listen: localhost:1')
  await writeFile(other, 'listen: localhost:2')
  const options = { environment: { BERTH_CONFIG: one }, flags: {}, set: [] }
  assert.equal(loadConfig(options).config.listen.port, 1)
  assert.equal(loadConfig({ ...options, file: other }).config.listen.port, 2)
  const empty = loadConfig({ ...options, environment: { BERTH_CONFIG: '' } })
  assert.equal(empty.file, undefined)
})

test('without a file, well-known registries are upstreams and local/ is hosted', async (t) => {
  const config = await load(t)
  const prefixes = config.upstreams.map(({ prefix }) => prefix)
  for (const prefix of ['', 'docker.io', 'ghcr.io', 'quay.io', 'registry.k8s.io', 'gcr.io'])
    assert.ok(prefixes.includes(prefix), prefix)
  assert.deepEqual(config.hosted, [{ prefix: 'local', anonymous: 'none', sparse: false }])
  assert.deepEqual(config.listen, { host: 'localhost', port: 30026 })
})

test('without a file, everyone on this machine may push below local/, and to no upstream', async (t) => {
  const { auth } = await load(t)
  assert.deepEqual(auth.access, [
    { users: ['*'], groups: [], repositories: ['**'], except: [], actions: ['pull'] },
    {
      users: ['*'],
      groups: [],
      repositories: ['local/**'],
      except: [],
      actions: ['push', 'delete'],
    },
  ])
})

test('pushing needs a rule of the configuration with users, on other addresses, and with a file', async (t) => {
  for (const options of [
    { flags: { 'auth-htpasswd': '/f' } },
    { flags: { listen: '0.0.0.0:30026', 'auth-htpasswd': '/f' } },
    { flags: { 'auth-htpasswd': '/f', 'auth-anonymous': 'pull' } },
    { environment: { BERTH_AUTH_SERVICE_ACCOUNTS_AUDIENCES: 'berth' } },
    { file: {} },
  ])
    assert.deepEqual((await load(t, options)).auth.access, [])
  const set = ['auth.access[0].users=ci', 'auth.access[0].repositories=a/**']
  const own = await load(t, { set: [...set, 'auth.access[0].actions=push'] })
  assert.equal(own.auth.access.length, 1)
})

test('without upstreams all repositories are hosted', async (t) => {
  const own = { prefix: 'own', anonymous: 'pull', sparse: false } as const
  assert.deepEqual((await load(t, { file: { hosted: [own] } })).hosted, [
    own,
    { prefix: '', anonymous: 'none', sparse: false },
  ])
  const all = { prefix: '', anonymous: 'pull', sparse: false } as const
  assert.deepEqual((await load(t, { file: { hosted: [all] } })).hosted, [all])
})

test('an index sets a list element, and the kind of credentials is set before their fields', async (t) => {
  const environment = {
    BERTH_UPSTREAMS_0_URL: 'https://one.example.org',
    BERTH_UPSTREAMS_1_URL: 'https://two.example.org',
    BERTH_UPSTREAMS_1_PREFIX: 'two',
    BERTH_UPSTREAMS_1_CREDENTIALS_PASSWORD: 'p',
    BERTH_UPSTREAMS_1_CREDENTIALS_USERNAME: 'u',
    BERTH_UPSTREAMS_1_CREDENTIALS_TYPE: 'static',
    BERTH_UPSTREAMS_1_REPOSITORIES: 'a/**, b',
    BERTH_UPSTREAMS_1_PREFETCH: 'true',
  }
  const set = ['upstreams[1].tags.ttl=5m', 'upstreams[1].tags.immutable=']
  const { upstreams } = await load(t, { file: '', environment, set })
  assert.equal(upstreams[0]?.url, 'https://one.example.org')
  const [, two] = upstreams
  assert.deepEqual(two?.credentials, { type: 'static', username: 'u', password: 'p' })
  assert.deepEqual(two.repositories, ['a/**', 'b'])
  assert.equal(two.prefetch, true)
  assert.equal(two.tags.ttl, 300_000)
  assert.deepEqual(two.tags.immutable, [])
})

test('setting another kind of credentials removes the fields of the kind in the file', async (t) => {
  const credentials = { type: 'static', username: 'u', password: 'p' }
  const file = { upstreams: [{ ...upstream, credentials }] }
  const set = ['upstreams[0].credentials.type=anonymous']
  const { upstreams } = await load(t, { file, set })
  assert.deepEqual(upstreams[0]?.credentials, { type: 'anonymous' })
})

test('variables that Kubernetes sets for a Service named berth are ignored', async (t) => {
  const environment = {
    BERTH_PORT: 'tcp://10.0.0.1:30026',
    BERTH_SERVICE_HOST: '10.0.0.1',
    BERTH_SERVICE_PORT: '30026',
    BERTH_SERVICE_PORT_REGISTRY: '30026',
    BERTH_PORT_30026_TCP: 'tcp://10.0.0.1:30026',
    BERTH_PORT_30026_TCP_ADDR: '10.0.0.1',
    BERTH_ADMIN_PORT: 'tcp://10.0.0.1:9026',
    BERTH_ADMIN_SERVICE_HOST: '10.0.0.1',
  }
  assert.deepEqual(await load(t, { environment }), await load(t))
})

test('the error message names the field and the source of every problem', async (t) => {
  const file = {
    lisen: 'localhost:1',
    storage: { cache: { size: 1, maxSize: '10 gigs' } },
    upstreams: [
      { ...upstream, tgs: {} },
      { url: 'ftp://x', prefix: 'A' },
      { url: 'https://u:p@x', credentials: { type: 'kerberos' } },
      { ...upstream, prefix: 'b', push: 'yes' },
      { ...upstream, prefix: 'c', credentials: { type: 'static', username: 'u' } },
    ],
    auth: { access: [{ users: [''], repositories: ['a'], actions: ['read'] }] },
    limits: { fillDeadline: '30d' },
  }
  const environment = { BERTH_SENDFILE: 'yes', BERTH_LIMITS_CONNECTIONS: 'many' }
  const [first = '', ...lines] = await complaints(t, { file, environment })
  assert.match(first, /berth\.yaml is invalid:$/)
  const expected = [
    /^lisen: unknown field/,
    /^storage\.cache\.size: unknown field/,
    /^storage\.cache\.maxSize: expected a size with a unit/,
    /^upstreams\[0\]\.tgs: unknown field/,
    /^upstreams\[1\]\.url: expected a URL such as/,
    /^upstreams\[1\]\.prefix: expected whole segments/,
    /^upstreams\[2\]\.url: expected no user/,
    /^upstreams\[2\]\.credentials\.type: /,
    /^upstreams\[3\]\.push: /,
    /^upstreams\[4\]\.credentials: expected either password or passwordFile/,
    /^auth\.access\[0\]\.users\[0\]: /,
    /^auth\.access\[0\]\.actions\[0\]: /,
    /^limits\.fillDeadline: expected at most 24d/,
    /^sendfile: .*\(from \$BERTH_SENDFILE\)$/,
    /^limits\.connections: .*\(from \$BERTH_LIMITS_CONNECTIONS\)$/,
  ]
  for (const pattern of expected)
    assert.ok(
      lines.some((line) => pattern.test(line)),
      `${pattern} in\n${lines.join('\n')}`,
    )
  assert.equal(lines.length, expected.length, lines.join('\n'))
})

suite('service accounts', () => {
  const rule = { repositories: ['a'], actions: ['pull'] }
  const problems = async (t: TestContext, auth: object) =>
    (await complaints(t, { file: { auth } })).join('\n')
  const accepted = { audiences: ['berth'] }

  test('are not accepted, unless an audience is configured', async (t) => {
    assert.equal((await load(t, { file: {} })).auth.serviceAccounts, undefined)
    assert.match(await problems(t, { serviceAccounts: {} }), /auth\.serviceAccounts\.audiences: /)
    assert.match(await problems(t, { serviceAccounts: { audiences: [] } }), /audiences: /)
    const { auth } = await load(t, { file: { auth: { serviceAccounts: accepted } } })
    assert.deepEqual(auth.serviceAccounts, { ...accepted, method: 'keys' })
  })

  test("are not accepted with the API server's own audience", async (t) => {
    for (const audience of [
      'https://kubernetes.default.svc',
      'https://kubernetes.default.svc.cluster.local',
      'kubernetes.default',
    ])
      assert.match(
        await problems(t, { serviceAccounts: { audiences: ['berth', audience] } }),
        /audiences\[1\]: this is the API server's own audience/,
      )
    const same = { audiences: ['https://issuer.example'], issuer: 'https://issuer.example' }
    assert.match(await problems(t, { serviceAccounts: same }), /audiences: must not contain/)
  })

  test('need an issuer with https if it publishes the keys itself', async (t) => {
    const published = { ...accepted, method: 'published-keys' }
    for (const issuer of [undefined, 'issuer', 'http://issuer.example', 'https://a@issuer.example'])
      assert.match(
        await problems(t, { serviceAccounts: { ...published, issuer } }),
        /serviceAccounts\.issuer: expected the URL/,
      )
    await load(t, {
      file: { auth: { serviceAccounts: { ...published, issuer: 'https://i.example/a' } } },
    })
    const reviewed = { ...accepted, method: 'token-review', issuer: 'https://i.example' }
    assert.match(await problems(t, { serviceAccounts: reviewed }), /issuer: has no effect/)
  })

  test('are users and groups of access rules; a rule that cannot apply is rejected', async (t) => {
    const withRule = (changed: object) => ({
      serviceAccounts: accepted,
      access: [{ ...rule, ...changed }],
    })
    for (const users of [['system:serviceaccount:a:*'], ['system:serviceaccount:*:ci', 'alice']])
      await load(t, { file: { auth: withRule({ users }) } })
    for (const groups of [['system:serviceaccounts'], ['system:serviceaccounts:team-*']])
      await load(t, { file: { auth: withRule({ groups }) } })
    assert.match(await problems(t, withRule({})), /access\[0\]: expected users or groups/)
    assert.match(
      await problems(t, withRule({ users: ['system:serviceaccount:*'] })),
      /users\[0\]: /,
    )
    assert.match(await problems(t, withRule({ groups: ['developers'] })), /no other groups/)
    const groups = ['system:serviceaccounts:a']
    const without = { access: [{ ...rule, groups }] }
    assert.match(await problems(t, without), /access\[0\]\.groups: has no effect/)
  })

  test('are users: another address than localhost needs no htpasswd file', async (t) => {
    const file = { listen: '0.0.0.0:1', auth: { serviceAccounts: accepted } }
    await load(t, { file })
  })
})

test('a glob that begins with "!" is rejected with the alternative (case 199)', async (t) => {
  const negated = ['team/**', '!team/secret/**']
  const file = {
    auth: { access: [{ users: ['*'], repositories: negated, except: ['!a'], actions: ['pull'] }] },
    upstreams: [
      { ...upstream, repositories: negated, tags: { immutable: ['!latest'] } },
      { ...upstream, prefix: 'a', repositories: ['!(secret)/**'] },
    ],
  }
  const [, ...lines] = await complaints(t, { file })
  assert.deepEqual(
    lines.map((line) => line.split(':')[0]),
    [
      'auth.access[0].repositories[1]',
      'auth.access[0].except[0]',
      'upstreams[0].tags.immutable[0]',
      'upstreams[0].repositories[1]',
      'upstreams[1].repositories[0]',
    ],
  )
  for (const line of lines)
    assert.match(line, /must not begin with "!".*list exclusions under "except"/)
})

test('a number without a unit is rejected', async (t) => {
  const file = {
    storage: { cache: { maxSize: 10 } },
    upstreams: [{ ...upstream, tags: { ttl: 60 } }],
  }
  const [, ...lines] = await complaints(t, { file, environment: { BERTH_SHUTDOWN_DELAY: '5' } })
  assert.deepEqual(lines, [
    'storage.cache.maxSize: expected a size with a unit, such as 10GiB or 500MB',
    'upstreams[0].tags.ttl: expected a duration with a unit, such as 30s, 5m or 24h',
    'shutdown.delay: expected a duration with a unit, such as 30s, 5m or 24h (from $BERTH_SHUTDOWN_DELAY)',
  ])
})

test('a misspelt variable that begins with a section is rejected', async (t) => {
  const environment = {
    BERTH_STORAGE_CACHE_MAXSIZE: '1GiB',
    BERTH_AUTH_HTPASWD: '/f',
    BERTH_UPSTREAMS_URL: 'https://a.example',
    BERTH_ADMIN_PORT_9026_TCP_ADDR: '10.0.0.1',
    BERTH_STORAGE_SERVICE_PORT_REST: '80',
    BERTH_TEST_IMAGE: 'other programs have variables too',
  }
  const [, ...lines] = await complaints(t, { environment })
  assert.deepEqual(
    lines,
    ['STORAGE_CACHE_MAXSIZE', 'AUTH_HTPASWD', 'UPSTREAMS_URL'].map(
      (name) => `$BERTH_${name}: unknown variable; \`berth config table\` lists all variables`,
    ),
  )
})

test('missing list elements are one problem for each list', async (t) => {
  const set = ['upstreams[9].url=https://a.example', 'hosted[1].prefix=a']
  const [, ...lines] = await complaints(t, { file: '', set })
  assert.deepEqual(lines, [
    'upstreams[0]: is missing, although upstreams[9] is set; indexes start at 0',
    'hosted[0]: is missing, although hosted[1] is set; indexes start at 0',
  ])
})

test('the placeholder that --print-config prints instead of a password is rejected', async (t) => {
  const credentials = { type: 'static', username: 'u', password: '[hidden]' }
  const [, line = ''] = await complaints(t, { file: { upstreams: [{ ...upstream, credentials }] } })
  assert.match(
    line,
    /^upstreams\[0\]\.credentials\.password: "\[hidden\]" is what --print-config prints/,
  )
})

test('no error message uses the wording of the schema library', async (t) => {
  const wrong = [null, true, 7, -1, 'text', '', [], [null], {}, { a: 1 }]
  const paths = [
    'listen',
    'tls',
    'log',
    'storage',
    'auth',
    'upstreams',
    'hosted',
    'limits',
    'sendfile',
  ]
  for (const path of paths)
    for (const value of wrong) {
      const file = { [path]: value }
      const [, ...lines] = await complaints(t, { file }).catch(() => [])
      assert.doesNotMatch(lines.join('\n'), /invalid|input|received|too (small|big)|undefined|NaN/i)
    }
  for (const value of wrong) {
    const [, ...lines] = await complaints(t, {
      file: { upstreams: [{ url: value, credentials: value, push: value }] },
    })
    assert.doesNotMatch(lines.join('\n'), /invalid|input|received|too (small|big)|undefined|NaN/i)
  }
})

test('the error message for a missing or invalid file has its path', async (t) => {
  const missing = { file: '/nowhere/berth.yaml', environment: {}, flags: {}, set: [] }
  assert.throws(
    () => loadConfig(missing),
    /^ConfigError: \/nowhere\/berth\.yaml: cannot read the file/,
  )
  const [unclosed = ''] = await complaints(t, { file: 'a: "b' })
  assert.match(unclosed, /berth\.yaml: Missing closing "quote at line 1/)
  for (const file of ['- a', 'text', '7']) {
    const [, line = ''] = await complaints(t, { file })
    assert.match(line, /^configuration: /)
  }
})

test('the error message for invalid YAML does not quote the file, which may contain a password', async (t) => {
  const canaries = createCanaries()
  const password = canaries.secret('unclosed')
  const texts = [
    `upstreams:\n  - credentials: { password: "${password}`,
    `password: ${password}: x`,
    `password: [${password}`,
    `password: "${password}" trailing`,
    `a: 1\n${password}\n  b`,
  ]
  for (const file of texts) {
    const lines = await complaints(t, { file })
    await canaries.assertUnseen({ texts: lines })
  }
})

test('the error message for an invalid value names the field, never the value', async (t) => {
  const canaries = createCanaries()
  const password = canaries.secret('misplaced')
  for (const { name } of listFlags()) {
    if (
      /directory|htpasswd|certificate|key|secret-file|issuer|title|pull-host|bucket-(name|prefix|region|profile)/.test(
        name,
      )
    )
      continue
    const lines = await complaints(t, { flags: { [name]: password } })
    assert.ok(
      lines.some((line) => line.includes(`(from --${name})`)),
      name,
    )
    await canaries.assertUnseen({ texts: lines })
  }
})

test('--set rejects unknown fields and list fields without an index', async (t) => {
  for (const set of [
    'nothing=1',
    'upstreams.url=x',
    'upstreams[0]=x',
    'upstreams[a].url=x',
    '=',
    'x',
    '__proto__.x=1',
  ])
    assert.match((await complaints(t, { set: [set] })).join(), /unknown field/, set)
})

test('a secret has no flag, and --set rejects it', async (t) => {
  const canaries = createCanaries()
  const set = [`upstreams[0].credentials.password=${canaries.secret('argument')}`]
  const lines = await complaints(t, { set })
  assert.match(lines.join(), /a secret cannot be passed as an argument/)
  assert.match(lines.join(), /BERTH_UPSTREAMS_0_CREDENTIALS_PASSWORD/)
  await canaries.assertUnseen({ texts: lines })
  assert.ok(listFlags().every(({ name }) => !name.includes('password')))
})

test('flags and variables are unique', () => {
  const flags = listFlags().map(({ name }) => name)
  assert.equal(new Set(flags).size, flags.length)
  const variables = fieldsTable().match(/BERTH_\w+/g) ?? []
  assert.equal(new Set(variables).size, variables.length)
  assert.ok(variables.length > flags.length)
})

test('every flag sets the field of its name', async (t) => {
  const samples: readonly (readonly [flag: string, text: string, (config: Config) => unknown])[] = [
    ['listen', '[::1]:7', ({ listen }) => `[${listen.host}]:${listen.port}`],
    ['admin', '127.0.0.1:8', ({ admin }) => `${admin.host}:${admin.port}`],
    ['log-level', 'error', ({ log }) => log.level],
    ['storage-directory', '/d', ({ storage }) => storage.directory],
    ['storage-cache-directory', '/c', ({ storage }) => storage.cache.directory],
    ['storage-cache-max-size', '7B', ({ storage }) => `${storage.cache.maxSize}B`],
    ['storage-cache-minimum-free', '8B', ({ storage }) => `${storage.cache.minimumFree}B`],
    ['storage-cache-scrub-rate', '0', ({ storage }) => `${storage.cache.scrubRate}`],
    ['storage-cache-scrub-interval', '7ms', ({ storage }) => `${storage.cache.scrubInterval}ms`],
    [
      'storage-cache-redirects-min-size',
      '7B',
      ({ storage }) => `${storage.cache.redirects.minSize}B`,
    ],
    ['storage-cache-bucket-timeout', '19ms', ({ storage }) => `${storage.cache.bucketTimeout}ms`],
    ['storage-hosted-directory', '/h', ({ storage }) => storage.hosted.directory],
    ['storage-hosted-read-only', 'true', ({ storage }) => `${storage.hosted.readOnly}`],
    [
      'storage-hosted-redirects-min-size',
      '8B',
      ({ storage }) => `${storage.hosted.redirects.minSize}B`,
    ],
    ['storage-hosted-upload-expiry', '9ms', ({ storage }) => `${storage.hosted.uploadExpiry}ms`],
    ['auth-htpasswd', '/f', ({ auth }) => auth.htpasswd],
    ['limits-connections', '9', ({ limits }) => `${limits.connections}`],
    ['limits-memory', '256MiB', ({ limits }) => `${Number(limits.memory) / 2 ** 20}MiB`],
    ['limits-answer-time', '10ms', ({ limits }) => `${limits.answerTime}ms`],
    ['limits-fill-stall', '10ms', ({ limits }) => `${limits.fillStall}ms`],
    ['limits-fill-deadline', '10ms', ({ limits }) => `${limits.fillDeadline}ms`],
    ['collection-enabled', 'false', ({ collection }) => `${collection.enabled}`],
    ['collection-interval', '15ms', ({ collection }) => `${collection.interval}ms`],
    ['collection-grace', '16ms', ({ collection }) => `${collection.grace}ms`],
    ['collection-trash', '17ms', ({ collection }) => `${collection.trash}ms`],
    ['collection-minimum-free', '9B', ({ collection }) => `${collection.minimumFree}B`],
    ['retention-dry-run', 'true', ({ retention }) => `${retention.dryRun}`],
    ['retention-interval', '18ms', ({ retention }) => `${retention.interval}ms`],
    ['retention-quay-expiry', 'true', ({ retention }) => `${retention.quayExpiry}`],
    ['in-use-kubernetes', 'true', ({ inUse }) => `${inUse.kubernetes}`],
    ['in-use-interval', '13ms', ({ inUse }) => `${inUse.interval}ms`],
    ['in-use-list-expiry', '14ms', ({ inUse }) => `${inUse.listExpiry}ms`],
    ['in-use-warm-up-max-size', '20B', ({ inUse }) => `${inUse.warmUp.maxSize}B`],
    ['cors-credentials', 'true', ({ cors }) => `${cors.credentials}`],
    ['ui-enabled', 'false', ({ ui }) => `${ui.enabled}`],
    ['ui-title', 'Images of ACME', ({ ui }) => ui.title],
    ['ui-pull-host', 'registry.example.com:5000', ({ ui }) => ui.pullHost],
    ['shutdown-delay', '11ms', ({ shutdown }) => `${shutdown.delay}ms`],
    ['shutdown-deadline', '12ms', ({ shutdown }) => `${shutdown.deadline}ms`],
    ['sendfile', 'false', ({ sendfile }) => `${sendfile}`],
  ]
  for (const [flag, text, read] of samples)
    assert.equal(read(await load(t, { flags: { [flag]: text } })), text, flag)
  const covered = samples.map(([flag]) => flag)
  const others = listFlags().filter(({ name }) => !covered.includes(name))
  // Of a bucket, two are required together; redirects need one.
  const ofBuckets = /^storage-\w+-bucket-|^storage-\w+-redirects-enabled$/
  assert.deepEqual(
    others.map(({ name }) => name).filter((name) => !ofBuckets.test(name)),
    [
      'tls-certificate',
      'tls-key',
      'auth-service-accounts-method',
      'auth-service-accounts-issuer',
      'auth-anonymous',
      'in-use-warm-up-enabled',
      'replicas-listen',
      'replicas-address',
      'replicas-secret-file',
    ],
  )
})

/** A configuration with all optional sections, and a secret. */
const full = (password: string) => ({
  listen: '0.0.0.0:443',
  tls: { certificate: '/c.pem', key: '/k.pem' },
  replicas: { address: '10.0.0.1', addresses: ['replicas:30028'], secretFile: '/s' },
  auth: {
    htpasswd: '/htpasswd',
    anonymous: 'pull',
    access: [{ users: ['ci'], repositories: ['local/**'], actions: ['pull', 'push'] }],
  },
  upstreams: [
    { ...upstream, credentials: { type: 'static', username: 'u', password } },
    {
      ...upstream,
      prefix: 'a',
      credentials: { type: 'static', username: 'u', passwordFile: '/p' },
    },
    { ...upstream, prefix: 'b', credentials: { type: 'google', file: '/g' }, tags: { ttl: '90s' } },
    { ...upstream, prefix: 'c', credentials: { type: 'docker-config', file: '/d' } },
  ],
  hosted: [{ prefix: 'local' }, { prefix: 'team/own' }],
})

test('the printed configuration can be loaded again and is the same except for secrets', async (t) => {
  const canaries = createCanaries()
  const configs = [
    await load(t),
    await load(t, { file: '' }),
    await load(t, { file: full(canaries.secret('printed')) }),
  ]
  for (const config of configs) {
    const printed = printConfig(config)
    await canaries.assertUnseen({ texts: [printed] })
    const again = await load(t, { file: printed.replaceAll('"[hidden]"', 'another') })
    const hidden = JSON.stringify(config).replace(/"canary-[^"]*"/, '"another"')
    assert.deepEqual(again, JSON.parse(hidden))
  }
})

test('a loaded configuration is frozen', async (t) => {
  const config = await load(t)
  const change = (target: object) => () =>
    Reflect.ownKeys(target).map((key) => Object.defineProperty(target, key, { value: 1 }))
  for (const part of [config, config.storage.cache, config.upstreams, config.upstreams[0]?.tags])
    assert.throws(change(part ?? {}), TypeError)
})

/** The example of the design document. */
const documented = `
listen: localhost:30026
admin: 127.0.0.1:9026
tls: { certificate: /etc/berth/tls.crt, key: /etc/berth/tls.key }
storage:
  directory: ./.berth
  cache: { maxSize: 10GiB }
auth:
  htpasswd: /etc/berth/htpasswd
  anonymous: none
  access:
    - { users: ["ci"], repositories: ["local/**"], actions: [pull, push, delete] }
upstreams:
  - prefix: ""
    url: https://us-central1-docker.pkg.dev
    credentials: { type: google }
    tags: { ttl: 1m, staleIfError: 24h, immutable: [] }
    repositories: ["**"]
    push: false
hosted:
  - prefix: local
`

test('the documented file is valid, also for the JSON Schema', async (t) => {
  const config = await load(t, { file: documented })
  assert.equal(config.upstreams[0]?.tags.staleIfError, 86_400_000)
  const schema = z.fromJSONSchema(JSON.parse(JSON.stringify(jsonSchema())))
  const accepts = (document: unknown) => schema.safeParse(document).success
  assert.ok(accepts(parse(documented)))
  assert.ok(accepts(full('p')))
  assert.ok(accepts({}))
  assert.ok(!accepts({ lisen: 'localhost:1' }))
  assert.ok(!accepts({ upstreams: [{ prefix: 'a' }] }))
  assert.ok(!accepts({ log: { level: 'loud' } }))
})

test('the table has a section for each group of fields, and names the kinds of credentials', () => {
  const headings = [...fieldsTable().matchAll(/^### (.*)$/gm)].map(([, heading]) => heading)
  const groups = ['storage', 'auth', 'upstreams[]', 'upstreams[].credentials', 'hosted[]']
  const removal = ['collection', 'retention', 'retention.rules[]']
  const sections = [...groups, ...removal, 'inUse', 'mirrors[]', 'limits', 'shutdown'].map(
    (name) => `\`${name}\``,
  )
  assert.deepEqual(headings, ['Server', ...sections])
  assert.match(fieldsTable(), /`static` \(a user name and a password\)/)
  assert.match(
    fieldsTable(),
    /\| `google`: Credential configuration .*; `docker-config`: A config\.json/,
  )
})

test('every field is described, in the schema and in the table', () => {
  const rows = fieldsTable().match(/^\| `.*$/gm) ?? []
  assert.ok(rows.length > 60)
  for (const row of rows) {
    const [, field = '', , meaning = '', variable = ''] = row.split('|').map((cell) => cell.trim())
    assert.match(field, /^`[a-zA-Z[\].]+`$/)
    assert.match(variable, /^`BERTH_[A-Z0-9_]+`$/)
    assert.notEqual(meaning, '', `${field} has no description`)
  }
  assert.match(JSON.stringify(jsonSchema()), /"description":/)
})

test('any environment is either used or rejected with a ConfigError', async (t) => {
  const names = fieldsTable().match(/BERTH_\w+/g) ?? []
  const environment = fc.dictionary(fc.constantFrom(...names), fc.string(), { maxKeys: 4 })
  fc.assert(
    fc.property(environment, (variables) => {
      try {
        loadConfig({ environment: variables, flags: {}, set: [] })
      } catch (error) {
        assert.ok(error instanceof Error && error.name === 'ConfigError', String(error))
      }
    }),
  )
  assert.equal(Reflect.get({}, 'polluted'), undefined)
  t.diagnostic(`${names.length} variables`)
})
