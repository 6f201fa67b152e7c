import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { listenHosts, loadConfig } from '../../src/config/config.ts'

/** The problems of these settings on top of the embedded default. */
function problems(set: readonly string[]): readonly string[] {
  try {
    loadConfig({ environment: {}, flags: {}, set })
    return []
  } catch (error) {
    const lines = error instanceof Error ? error.message.split('\n') : []
    return lines.slice(1).map((line) => line.trim())
  }
}

/** An upstream that anonymous users may pull from. */
const open = ['upstreams[0].credentials.type=anonymous']
const closeOthers = Array.from({ length: 9 }, (_, at) => `upstreams[${at + 1}].anonymous=pull`)

suite('an address that other machines can reach', () => {
  const beyond = ['0.0.0.0:1', ':1', '[::]:1', '10.0.0.1:1', 'berth.example.org:1', '0:1']

  test('requires users, or anonymous access', () => {
    for (const address of [...beyond, '[::ffff:127.0.0.1]:1', '127.example.org:1', '127.1:1']) {
      const [problem = ''] = problems([`listen=${address}`])
      assert.match(problem, /^listen: other machines can reach this address/, address)
      assert.match(problem, /auth\.htpasswd/)
    }
    for (const address of beyond)
      assert.deepEqual(problems([`listen=${address}`, 'auth.htpasswd=/f']), [], address)
  })

  test('may be open to everyone by the rules for *, but only without users', () => {
    const rules = ['listen=0.0.0.0:1', 'auth.anonymous=rules']
    assert.deepEqual(problems(rules), [])
    const [problem = ''] = problems([...rules, 'auth.htpasswd=/f'])
    assert.match(problem, /^auth\.anonymous: rules is for registries without users/)
  })

  test('is not a loopback address', () => {
    for (const address of ['localhost:1', '127.0.0.1:1', '127.9.9.9:1', '[::1]:1'])
      assert.deepEqual(problems([`listen=${address}`]), [], address)
  })
})

suite('upstreams without users', () => {
  const everybody = ['listen=0.0.0.0:1', 'auth.anonymous=pull']

  test('must have no credentials, or allow anonymous users (A109)', () => {
    const lines = problems(everybody)
    assert.equal(lines.length, 5, 'the default one and the four of Google')
    for (const line of lines)
      assert.match(line, /^upstreams\[\d\]\.anonymous: no client could pull/)
    assert.deepEqual(problems([...everybody, ...open, ...closeOthers]), [])
  })

  test('may be inaccessible to anonymous users if there are users', () => {
    assert.deepEqual(problems([...everybody, 'auth.htpasswd=/f']), [])
  })
})

suite('prefixes', () => {
  test('of upstreams are unique', () => {
    const [problem = ''] = problems(['upstreams[1].prefix=docker.io'])
    assert.match(
      problem,
      /^upstreams\[\d\]\.prefix: another upstream already has the prefix "docker\.io"/,
    )
  })

  test('of hosted repositories cannot be those of an upstream (H137)', () => {
    const [problem = ''] = problems(['hosted[0].prefix=docker.io'])
    assert.match(problem, /^hosted\[0\]\.prefix: .*must not shadow/)
    assert.equal(problems(['hosted[0].prefix=']).length, 1)
  })

  test('consist of whole segments of names', () => {
    for (const prefix of ['A', '/a', 'a/', 'a//b', '..', 'a b', 'a:1', '-a'])
      assert.match(
        problems([`hosted[0].prefix=${prefix}`]).join(),
        /^hosted\[0\]\.prefix: /,
        prefix,
      )
  })
})

test('localhost has an IPv4 and an IPv6 address', () => {
  assert.deepEqual(listenHosts({ host: 'localhost', port: 1 }), ['127.0.0.1', '::1'])
  assert.deepEqual(listenHosts({ host: '10.0.0.1', port: 1 }), ['10.0.0.1'])
})

suite('mirrors', () => {
  const mirror = 'mirrors[0].listen=localhost:1'

  test('require an upstream that anonymous users may pull from', () => {
    assert.deepEqual(problems([mirror]), [])
    assert.match(
      problems([mirror, 'mirrors[0].upstream=nowhere']).join(),
      /^mirrors\[0\]\.upstream: no upstream has the prefix "nowhere"/,
    )
    const [google = ''] = problems([mirror, 'mirrors[0].upstream=gcr.io'])
    assert.match(google, /^mirrors\[0\]\.upstream: .*set upstreams\[1\]\.anonymous: pull/)
    assert.deepEqual(
      problems([mirror, 'mirrors[0].upstream=gcr.io', 'upstreams[1].anonymous=pull']),
      [],
    )
  })
})

suite('rules of retention', () => {
  const rule = (fields: Readonly<Record<string, string>>) =>
    Object.entries({ name: 'r', action: 'delete', ...fields }).map(
      ([key, value]) => `retention.rules[0].${key}=${value}`,
    )

  test('that delete say what', () => {
    const [problem = ''] = problems(rule({}))
    assert.match(problem, /^retention\.rules\[0\]: the rule would delete every image: set tags/)
    for (const fields of [{ olderThan: '1d' }, { notPulledFor: '1d' }, { untagged: 'true' }])
      assert.deepEqual(problems(rule(fields as never)), [])
    assert.deepEqual(problems(rule({ action: 'keep' })), [])
  })

  test('keep the newest, and do not delete them', () => {
    const [problem = ''] = problems(rule({ olderThan: '1d', newest: '3' }))
    assert.match(problem, /^retention\.rules\[0\]\.newest: a delete rule has no newest: add a rule/)
    assert.deepEqual(problems(rule({ action: 'keep', newest: '3' })), [])
  })

  test('have different names', () => {
    const second = rule({ olderThan: '1d' }).map((text) => text.replace('[0]', '[1]'))
    const [problem = ''] = problems([...rule({ olderThan: '1d' }), ...second])
    assert.match(problem, /^retention\.rules\[1\]\.name: another rule has the name "r"/)
  })
})

test('the cache and hosted repositories have places of their own in a bucket', () => {
  const at = (use: string, prefix: string) =>
    [`type=s3`, `name=b1`, `prefix=${prefix}`].map((field) => `storage.${use}.bucket.${field}`)
  assert.deepEqual(problems([...at('cache', 'x'), ...at('hosted', 'y')]), [])
  assert.deepEqual(problems([...at('cache', 'x/y'), ...at('hosted', 'x')]), [])
  for (const below of ['x', 'x/y']) {
    const [problem = ''] = problems([...at('cache', 'x'), ...at('hosted', below)])
    assert.match(problem, /^storage\.cache\.bucket\.prefix: must not be that of storage\.hosted/)
  }
})

test('regions and profiles are those of S3', () => {
  const bucket = ['type=gcs', 'name=b'].map((field) => `storage.hosted.bucket.${field}`)
  assert.deepEqual(problems(bucket), [])
  const [problem = ''] = problems([...bucket, 'storage.hosted.bucket.region=eu'])
  assert.match(problem, /^storage\.hosted\.bucket\.region: has no meaning/)
})

test('redirects need a bucket', () => {
  for (const use of ['cache', 'hosted']) {
    const [problem = ''] = problems([`storage.${use}.redirects.enabled=true`])
    const expected = `storage.${use}.redirects.enabled: needs storage.${use}.bucket`
    assert.ok(problem.startsWith(expected), problem)
  }
})

for (const [field, expected] of [
  ['storage.cache.bucket.endpoint=s3.example.com', 'expected a URL such as https://s3.example.com'],
  ['storage.cache.bucket.endpoint=https://key:secret@s3.example.com', 'expected no user, query or'],
  ['storage.cache.bucket.endpoint=https://s3.example.com?key=1', 'expected no user, query or'],
  ['upstreams[0].url=registry.example.com', 'expected a URL such as https://'],
  ['replicas.address=pod-0', 'expected an IP address'],
] as const)
  test(`${field} is an error that says what is expected, once`, () => {
    const [name = ''] = field.split('=')
    const found = problems([field]).filter((problem) => problem.startsWith(`${name}: `))
    assert.equal(found.length, 1, found.join())
    assert.ok(found[0]?.startsWith(`${name}: ${expected}`), found[0])
  })
