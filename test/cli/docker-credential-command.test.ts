import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, type TestContext, test } from 'node:test'
import { stringify } from 'yaml'
import { eventually } from '../support/berth.ts'
import { createCanaries } from '../support/canaries.ts'
import { main, runCommand, startCommand } from '../support/command.ts'
import { ownDirectory } from '../support/directory.ts'
import { answerJson, startFakeServer } from '../support/fake-server.ts'
import { type Google, startGoogle } from '../support/google.ts'

const canaries = createCanaries()
const notFound = 'credentials not found in native keychain\n'
let google: Google

before(async () => {
  google = await startGoogle({ grant: 'impersonation' })
})
after(() => google.stop())

type Given = { readonly config?: object; readonly environment?: Readonly<Record<string, string>> }

/** A helper in its own directory, which is also its home directory. */
async function helper(t: TestContext, { config, environment = {} }: Given = {}) {
  const directory = await ownDirectory(t)
  const file = join(directory, 'berth.yaml')
  if (config !== undefined) await writeFile(file, stringify(config))
  const configured = config !== undefined && { BERTH_CONFIG: file }
  const all = { HOME: directory, ...configured, ...environment }
  const link = join(directory, 'docker-credential-berth')
  await symlink(main, link)
  return {
    directory,
    file,
    ask: (action: string, input = '') =>
      runCommand([action], { environment: all, input, file: link }),
    run: (args: readonly string[], input = '') =>
      runCommand(['docker-credential', ...args], { environment: all, input }),
  }
}

const login = (username: string, password: string) => ({ type: 'static', username, password })

test('a signal also ends the helper that it runs', async (t) => {
  const directory = await ownDirectory(t)
  const [file, pid] = [join(directory, 'berth.yaml'), join(directory, 'pid')]
  const credentials = { type: 'docker-helper', helper: 'slow' }
  await writeFile(file, stringify({ upstreams: [{ url: 'https://a.example', credentials }] }))
  const script = `#!/bin/sh\necho $$ > ${pid}.new\nmv ${pid}.new ${pid}\nexec sleep 60\n`
  await writeFile(join(directory, 'docker-credential-slow'), script, { mode: 0o755 })
  const PATH = `${directory}:/usr/bin:/bin`
  const asking = startCommand(['docker-credential', 'get', '--config', file], {
    environment: { PATH },
    input: 'a.example',
  })
  await eventually('the helper to start', () => existsSync(pid))
  const started = (await readFile(pid, 'utf8')).trim()
  asking.signal('SIGINT')
  assert.equal((await asking.finished).status, 130)
  await eventually('the helper to end', async () => {
    const stat = await readFile(`/proc/${started}/stat`, 'utf8').catch(() => ' Z ')
    return stat.includes(' Z ')
  })
})

suite('docker-credential-berth get', { concurrency: 4 }, () => {
  test('prints the credentials of an upstream for each form of its server URL, as the protocol demands', async (t) => {
    const secret = canaries.secret('static')
    const config = { upstreams: [{ url: 'https://one.example', credentials: login('me', secret) }] }
    const { ask, run, file } = await helper(t, { config })
    for (const server of ['one.example', 'https://one.example/v2/', 'https://one.example:443']) {
      const { status, stdout, stderr } = await ask('get', `${server}\n`)
      assert.equal(status, 0)
      assert.equal(stderr, '')
      const answer = { ServerURL: server, Username: 'me', Secret: secret }
      assert.equal(stdout, `${JSON.stringify(answer)}\n`)
    }
    const { stdout } = await run(['get', '--config', file], 'one.example')
    assert.equal(JSON.parse(stdout).Secret, secret)
  })

  test("prints Docker Hub's credentials for each of its names", async (t) => {
    const url = 'https://registry-1.docker.io'
    const config = { upstreams: [{ prefix: 'docker.io', url, credentials: login('me', 'p') }] }
    const { ask } = await helper(t, { config })
    for (const server of ['https://index.docker.io/v1/', 'docker.io', 'index.docker.io'])
      assert.equal(JSON.parse((await ask('get', server)).stdout).Username, 'me', server)
  })

  test('finds no credentials for a host that is not configured, or whose upstream is anonymous', async (t) => {
    const config = { upstreams: [{ url: 'https://public.example' }] }
    const { ask } = await helper(t, { config })
    for (const server of ['other.example', 'https://public.example', 'us-docker.pkg.dev']) {
      const { status, stdout, stderr } = await ask('get', server)
      assert.deepEqual(
        { status, stdout, stderr },
        { status: 1, stdout: notFound, stderr: '' },
        server,
      )
    }
  })

  test("prints Google's access tokens for all hosts of Artifact Registry, without a configuration file", async (t) => {
    const directory = await ownDirectory(t)
    const environment = { GOOGLE_APPLICATION_CREDENTIALS: await google.configure(directory) }
    const { ask } = await helper(t, { environment })
    for (const server of [
      'europe-west4-docker.pkg.dev',
      'https://eu.gcr.io',
      'us-docker.pkg.dev',
    ]) {
      const { Username, Secret } = JSON.parse((await ask('get', server)).stdout)
      assert.equal(Username, 'oauth2accesstoken')
      assert.ok(google.accessTokens.spend(Secret), 'a registry accepts the token')
    }
    assert.equal((await ask('get', 'us-docker.pkg.dev.evil.example')).stdout, notFound)
  })

  test('finds no credentials for Artifact Registry on a machine without Google credentials', async (t) => {
    const { ask } = await helper(t)
    const { status, stdout } = await ask('get', 'us-docker.pkg.dev')
    assert.deepEqual({ status, stdout }, { status: 1, stdout: notFound })
  })

  test('prints why a credential exchange failed to both outputs, without the secret', async (t) => {
    const directory = await ownDirectory(t)
    const secret = canaries.secret('subject')
    const service = await startFakeServer((_, response) =>
      answerJson(response, 400, { error: 'invalid_grant', error_description: 'no such pool' }),
    )
    t.after(service.stop)
    const credentials = await credentialConfiguration(directory, service.url, secret)
    const config = {
      upstreams: [
        { url: 'https://us-docker.pkg.dev', credentials: { type: 'google', file: credentials } },
      ],
    }
    const { ask } = await helper(t, { config })
    const { status, stdout, stderr } = await ask('get', 'us-docker.pkg.dev')
    assert.equal(status, 1)
    assert.match(stdout, /^berth: no credential for us-docker\.pkg\.dev as .*no such pool.*\n$/s)
    assert.equal(stderr, stdout, 'docker pull shows standard error only')
    assert.doesNotMatch(stdout, /not found in native keychain/)
    await canaries.assertUnseen({ texts: [stdout, stderr] })
  })

  test('times out when a service does not answer, and exits', async (t) => {
    const directory = await ownDirectory(t)
    const service = await startFakeServer(() => {})
    t.after(service.stop)
    const file = await credentialConfiguration(directory, service.url, 'subject')
    const credentials = { type: 'google', file }
    const config = { upstreams: [{ url: 'https://us-docker.pkg.dev', credentials }] }
    const { ask } = await helper(t, { config })
    const { status, stdout } = await ask('get', 'us-docker.pkg.dev')
    assert.equal(status, 1)
    assert.match(stdout, /did not answer in time|no answer within/)
    assert.equal(service.requests.length, 1)
  })

  test('names the invalid field of the configuration', async (t) => {
    const { ask } = await helper(t, { config: { upstreams: [{ url: 'ftp://x' }] } })
    const { status, stdout, stderr } = await ask('get', 'x')
    assert.equal(status, 1)
    assert.equal(stderr, stdout)
    assert.match(stdout, /^berth: the configuration in .* is invalid:\n {2}upstreams\[0\]\.url: /)
  })

  test('fails when it was started by itself', async (t) => {
    const { ask } = await helper(t, { environment: { BERTH_CREDENTIAL_HELPER: '1' } })
    for (const action of ['get', 'list']) {
      const { status, stdout } = await ask(action, 'us-docker.pkg.dev')
      assert.equal(status, 1)
      assert.match(stdout, /configure other credentials for that upstream/)
    }
  })

  test('rejects a missing server URL and an unknown action', async (t) => {
    const { ask, run } = await helper(t)
    for (const server of ['', '\n', 'https://u:p@host']) {
      const { status, stdout } = await ask('get', server)
      assert.equal(status, 1)
      assert.match(stdout, /^berth: no credentials server URL on standard input: expected .*\n$/)
    }
    const unknown = await ask('fetch')
    assert.equal(unknown.status, 1)
    assert.match(unknown.stdout, /^berth: unknown action fetch: expected get, list/)
    const missing = await run([])
    assert.equal(missing.status, 1)
    assert.match(missing.stdout, /missing required argument/)
    assert.equal(missing.stderr, '')
  })
})

suite('docker-credential-berth list', { concurrency: 4 }, () => {
  test('prints the servers that have credentials, with their user names, without secrets', async (t) => {
    const directory = await ownDirectory(t)
    const secret = canaries.secret('listed')
    const config = {
      upstreams: [
        { prefix: 'a', url: 'https://one.example', credentials: login('first', secret) },
        { prefix: 'b', url: 'https://one.example', credentials: login('second', secret) },
        {
          prefix: 'docker.io',
          url: 'https://registry-1.docker.io',
          credentials: login('me', secret),
        },
        {
          prefix: 'g',
          url: 'https://us-docker.pkg.dev',
          credentials: { type: 'google', file: await google.configure(directory) },
        },
        { prefix: 'p', url: 'https://public.example' },
        {
          prefix: 'x',
          url: 'https://broken.example',
          credentials: { type: 'static', username: 'u', passwordFile: join(directory, 'none') },
        },
      ],
    }
    const { ask } = await helper(t, { config })
    const { status, stdout, stderr } = await ask('list')
    assert.equal(status, 0)
    assert.equal(stderr, '')
    assert.deepEqual(JSON.parse(stdout), {
      'one.example': 'first',
      'https://index.docker.io/v1/': 'me',
      'us-docker.pkg.dev': 'oauth2accesstoken',
    })
    await canaries.assertUnseen({ texts: [stdout, stderr] })
  })

  test('is empty without upstreams', async (t) => {
    const { ask } = await helper(t, { config: { upstreams: [] } })
    const { status, stdout } = await ask('list')
    assert.deepEqual({ status, stdout }, { status: 0, stdout: '{}\n' })
  })
})

suite('docker-credential-berth', { concurrency: 4 }, () => {
  test('rejects store and erase with a reason', async (t) => {
    const { ask } = await helper(t)
    const Secret = canaries.secret('stored')
    const stored = JSON.stringify({ ServerURL: 'us-docker.pkg.dev', Username: 'u', Secret })
    for (const [action, input] of [
      ['store', stored],
      ['erase', 'us-docker.pkg.dev'],
    ] as const) {
      const { status, stdout, stderr } = await ask(action, input)
      assert.equal(status, 1)
      assert.match(stdout, /^berth: cannot store or erase logins: .*credHelpers/)
      await canaries.assertUnseen({ texts: [stdout, stderr] })
    }
  })

  test('prints its version', async (t) => {
    const { status, stdout } = await (await helper(t)).ask('version')
    assert.equal(status, 0)
    assert.match(stdout, /^docker-credential-berth \(berth\) v\d+\.\d+\.\d+\n$/)
  })
})

/** Path of a configuration for workload identity federation at the test's own service. */
async function credentialConfiguration(
  directory: string,
  service: string,
  subjectToken: string,
): Promise<string> {
  const token = join(directory, 'token')
  await writeFile(token, subjectToken)
  const file = join(directory, 'credentials.json')
  const configuration = {
    type: 'external_account',
    audience:
      '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${service}/v1/token`,
    credential_source: { file: token },
  }
  await writeFile(file, JSON.stringify(configuration))
  return file
}
