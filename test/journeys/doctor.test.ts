import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { type ArtifactRegistry, startArtifactRegistry } from '../support/artifact-registry.ts'
import { createCanaries } from '../support/canaries.ts'
import { type Authority, createAuthority } from '../support/certificates.ts'
import { type CommandOptions, runCommand } from '../support/command.ts'
import { configFile } from '../support/config-file.ts'
import { startConnectProxy } from '../support/connect-proxy.ts'
import { type Google, startGoogle } from '../support/google.ts'
import { makeImage, makeIndex } from '../support/images.ts'
import { type ObjectStore, startObjectStore } from '../support/object-store.ts'
import { type Answering, sendJson, startWebServer, type WebServer } from '../support/web-server.ts'

type Finding = {
  readonly step: string
  readonly outcome: string
  readonly message: string
  readonly advice?: string
  readonly requests: readonly string[]
}
type Verdict = {
  readonly ok: boolean
  readonly upstreams: readonly {
    readonly upstream: { readonly prefix: string; readonly url: string }
    readonly reference?: string
    readonly identity: string
    readonly ok: boolean
    readonly findings: readonly Finding[]
  }[]
}

const name = 'my-project/my-repository/team/app'
const canaries = createCanaries()
const outputs: string[] = []
const image = makeImage()
const index = makeIndex([makeImage(), makeImage()])

let directory: string
let google: Google
let registry: ArtifactRegistry
let storage: ObjectStore
let authority: Authority

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-doctor-'))
  authority = await createAuthority('The company')
  storage = await startObjectStore()
  google = await startGoogle({ grant: 'impersonation' })
  registry = await startArtifactRegistry({ accessTokens: google.accessTokens })
  registry.put(name, 'v1', image)
  registry.put(name, 'multi', index)
})
after(async () => {
  await Promise.all([storage.stop(), registry.stop(), google.stop(), authority.remove()])
  await rm(directory, { recursive: true, force: true })
  for (const token of google.accessTokens.all()) canaries.add(token)
  await canaries.assertUnseen({ texts: outputs })
})

async function configure(config: Readonly<Record<string, unknown>>): Promise<string> {
  const file = join(await mkdtemp(join(directory, 'c-')), 'berth.yaml')
  await writeFile(file, configFile(config))
  return file
}

async function doctor(
  config: Readonly<Record<string, unknown>>,
  reference?: string,
  options?: CommandOptions,
) {
  const args = ['--config', await configure(config), '-o', 'json']
  const argument = reference === undefined ? [] : [reference]
  const ended = await runCommand(['doctor', 'upstream', ...argument, ...args], options)
  outputs.push(ended.stdout, ended.stderr)
  assert.notEqual(ended.stdout, '', ended.stderr)
  const verdict = JSON.parse(ended.stdout) as Verdict
  assert.equal(ended.status, verdict.ok ? 0 : 1)
  const [first] = verdict.upstreams
  assert.ok(first)
  const outcomes = first.findings.map(({ step, outcome }) => `${step}: ${outcome}`)
  const finding = (step: string): Finding => {
    const found = first.findings.find((candidate) => candidate.step === step)
    assert.ok(found, `there is no step ${step} in ${outcomes}`)
    return found
  }
  return { verdict, first, outcomes, finding }
}

const googleUpstream = async () => ({
  url: registry.url,
  credentials: { type: 'google', file: await google.configure(directory) },
})

/** Runs `use` with an upstream that answers with `answering`. */
async function withUpstream(answering: Answering, use: (server: WebServer) => Promise<void>) {
  const server = await startWebServer(answering)
  await use(server).finally(() => server.close())
}

suite('berth doctor upstream', { concurrency: true }, () => {
  test('reports each step with its identity and result', async () => {
    const { verdict, outcomes, finding, first } = await doctor(
      { upstreams: [await googleUpstream()] },
      `localhost:30026/${name}:v1`,
    )
    assert.equal(verdict.ok, true)
    assert.deepEqual(outcomes, [
      'configuration: ok',
      'connection: ok',
      'registry: ok',
      'credentials: ok',
      'manifest: ok',
      'layer: ok',
    ])
    assert.match(finding('configuration').message, new RegExp(`is ${name} of the default upstream`))
    assert.match(finding('connection').message, /connected to http:.*without TLS/)
    assert.match(
      finding('registry').message,
      /401, requires a bearer token from http:.*\/v2\/token/,
    )
    assert.match(
      finding('credentials').message,
      /an access token for berth@my-project\.iam\.gserviceaccount\.com, valid for (59|60) minutes/,
    )
    assert.equal(first.identity, 'berth@my-project.iam.gserviceaccount.com')
    assert.match(finding('manifest').message, new RegExp(image.digest))
    assert.match(finding('manifest').requests[0] ?? '', /^HEAD http:.*\/manifests\/v1: 200$/)
    const redirected = finding('layer').requests.map((line) => line.replace(/^.*: /, ''))
    assert.deepEqual(redirected, ['302', '200'], 'both requests of a redirect')
  })

  test('prints text by default, and ends with a verdict', async () => {
    const file = await configure({ upstreams: [await googleUpstream()] })
    const run = (reference: string) =>
      runCommand(['doctor', 'upstream', reference, '--config', file])
    const success = await run(`${name}:multi`)
    outputs.push(success.stdout)
    assert.equal(success.status, 0, success.stderr)
    assert.match(success.stdout, /^ {2}ok {4}manifest {7}.* is sha256:/m)
    assert.match(success.stdout, /\nNo problem found\.\n$/)
    const failure = await run(`${name}:v9`)
    outputs.push(failure.stdout)
    assert.equal(failure.status, 1)
    assert.match(failure.stdout, /^ {2}FAIL {2}manifest .*v9 does not exist \(404\)$/m)
    assert.match(failure.stdout, /^ {23}→ check the name and the tag/m)
    assert.match(failure.stdout, /\nPulls from this upstream fail\.\n$/)
  })

  test('without a reference checks the access to each upstream', async () => {
    const config = {
      upstreams: [await googleUpstream(), { prefix: 'gone', url: 'http://127.0.0.1:9' }],
    }
    const { verdict, outcomes } = await doctor(config)
    assert.equal(outcomes.at(-1), 'access: ok')
    const [, gone] = verdict.upstreams
    assert.equal(verdict.ok, false)
    assert.deepEqual(
      gone?.findings.map(({ step, outcome }) => `${step}: ${outcome}`),
      [
        'configuration: ok',
        'connection: failed',
        'registry: skipped',
        'credentials: ok',
        'access: skipped',
      ],
    )
    const refused = gone?.findings[1]
    assert.match(refused?.message ?? '', /cannot connect to http:\/\/127\.0\.0\.1:9: .*refused/)
    assert.match(refused?.advice ?? '', /host and port/)
  })

  test('a host name that does not resolve is reported with what to check', async () => {
    const { outcomes, finding } = await doctor({ upstreams: [{ url: 'https://no.invalid' }] })
    assert.equal(outcomes[1], 'name: failed')
    assert.match(finding('name').message, /cannot resolve no\.invalid: /)
    assert.match(finding('name').advice ?? '', /DNS/)
    assert.equal(finding('connection').outcome, 'skipped')
  })

  test('an untrusted certificate is reported with the field for its authority', async () => {
    const server = await startWebServer((_seen, response) => sendJson(response, {}), {
      tls: await authority.issue(['IP:127.0.0.1']),
    })
    const unknown = await doctor({ upstreams: [{ url: server.url }] })
    assert.match(unknown.finding('connection').message, /TLS: /)
    assert.match(unknown.finding('connection').advice ?? '', /certificateAuthorities/)
    const known = await doctor({
      upstreams: [{ url: server.url, certificateAuthorities: authority.file }],
    })
    await server.close()
    assert.match(
      known.finding('connection').message,
      /TLSv1\.3, certificate for .* issued by The company, valid until \d{4}-\d\d-\d\d$/,
    )
    assert.equal(known.verdict.ok, true)
  })

  test('the forward proxy is named without its password', async () => {
    const password = canaries.secret('proxy')
    const tls = await authority.issue(['DNS:registry.test'])
    const server = await startWebServer((_seen, response) => sendJson(response, {}), { tls })
    const proxy = await startConnectProxy({
      route: () => ({ host: '127.0.0.1', port: server.port }),
    })
    const url = new URL(proxy.url)
    url.username = 'me'
    url.password = password
    const { outcomes, finding } = await doctor(
      { upstreams: [{ url: 'https://registry.test', certificateAuthorities: authority.file }] },
      undefined,
      { environment: { HTTPS_PROXY: url.href } },
    )
    await Promise.all([server.close(), proxy.close()])
    assert.deepEqual(outcomes.slice(0, 2), ['configuration: ok', 'connection: ok'])
    assert.match(finding('connection').message, new RegExp(`through the forward proxy ${url.host}`))
  })

  test('a server that is not a registry is reported', () =>
    withUpstream(
      (_seen, response) => void response.writeHead(404).end('<html>'),
      async ({ url }) => {
        const { finding } = await doctor({ upstreams: [{ url }] })
        assert.equal(finding('registry').outcome, 'failed')
        assert.match(finding('registry').message, /GET http:.*\/v2\/ without credentials: 404/)
        assert.match(finding('registry').advice ?? '', /not the URL of a registry/)
      },
    ))

  test('a registry that fails is not reported as a wrong url', () =>
    withUpstream(
      (_seen, response) => void response.writeHead(503).end(),
      async ({ url }) => {
        const { finding } = await doctor({ upstreams: [{ url }] })
        assert.match(finding('registry').message, /: 503, without a challenge$/)
        assert.match(finding('registry').advice ?? '', /fails at the moment; Berth retries/)
      },
    ))

  test('a missing file of certificate authorities is reported without a stack trace', async () => {
    const certificateAuthorities = join(directory, 'absent.pem')
    const upstreams = [{ url: 'https://127.0.0.1:9', certificateAuthorities }]
    const { finding, outcomes } = await doctor({ upstreams })
    assert.deepEqual(outcomes, ['configuration: failed'])
    assert.match(finding('configuration').message, /ENOENT: .*absent\.pem/)
    assert.match(
      finding('configuration').advice ?? '',
      /set the upstream's certificateAuthorities to/,
    )
  })

  test('a token realm that may not receive the credentials is reported with the field that allows it', () =>
    withUpstream(
      (_seen, response) => {
        response.setHeader('www-authenticate', 'Bearer realm="https://tokens.example.org/token"')
        sendJson(response, {}, 401)
      },
      async ({ url }) => {
        const credentials = {
          type: 'static',
          username: 'robot',
          password: canaries.secret('realm'),
        }
        const { finding } = await doctor({ upstreams: [{ url, credentials }] })
        assert.match(
          finding('registry').message,
          /asks for the credentials at https:\/\/tokens\.example\.org/,
        )
        const advice = /add tokens\.example\.org to upstreams\[\]\.tokenRealms/
        assert.match(finding('registry').advice ?? '', advice)
      },
    ))

  test('a failed credential exchange is reported, and no request is sent without credentials', async () => {
    const before = registry.requests.length
    const { outcomes, finding } = await doctor(
      {
        upstreams: [
          { url: registry.url, credentials: { type: 'google', file: join(directory, 'no.json') } },
        ],
      },
      `${name}:v1`,
    )
    assert.deepEqual(outcomes.slice(-3), [
      'credentials: failed',
      'manifest: skipped',
      'layer: skipped',
    ])
    assert.match(finding('credentials').message, /no\.json/)
    const anonymousRequests = registry.requests
      .slice(before)
      .filter(({ headers }) => !headers.authorization)
    assert.ok(anonymousRequests.every(({ path }) => path === '/v2/'))
  })

  test("a denial is reported with the registry's reason and the missing role", () => {
    const message = `Permission "artifactregistry.repositories.downloadArtifacts" denied on resource`
    return withUpstream(
      ({ path }, response) =>
        path === '/v2/'
          ? sendJson(response, {})
          : sendJson(response, { errors: [{ code: 'DENIED', message }] }, 403),
      async ({ url }) => {
        const { credentials } = await googleUpstream()
        const { finding } = await doctor({ upstreams: [{ url, credentials }] }, `${name}:v1`)
        const { outcome, message: text, advice = '' } = finding('manifest')
        assert.equal(outcome, 'failed')
        assert.match(text, /as berth@my-project\.iam.*answered 403: Permission/)
        assert.match(advice, /berth@my-project\.iam.*roles\/artifactregistry\.reader/)
        assert.match(advice, /my-project\/my-repository/)
      },
    )
  })

  test('a redirect that is not allowed is reported with the field that allows it', async () => {
    const other = await startArtifactRegistry({ accessTokens: google.accessTokens })
    other.put(name, 'v1', image)
    other.behave({ storage })
    const { credentials } = await googleUpstream()
    const { outcomes, finding } = await doctor(
      { upstreams: [{ url: other.url, credentials }] },
      `${name}@${image.digest}`,
    )
    await other.stop()
    assert.deepEqual(outcomes.slice(-2), ['manifest: ok', 'layer: failed'])
    assert.match(finding('layer').message, /redirects to http:.*not allowed/)
  })

  test('a reference without an upstream, or an invalid one, is a one-line error', async () => {
    const file = await configure({
      upstreams: [{ ...(await googleUpstream()), repositories: ['my-project/**'] }],
    })
    for (const [reference, message] of [
      ['localhost:30026/local/app:1', /local\/app is hosted by Berth itself/],
      ['other-project/repo/app', /not served/],
      ['ghcr.example/owner/app', /no upstream is configured for ghcr\.example/],
      ['My-Project/app', /My-Project\/app: invalid repository name/],
      [`${name}@sha256:12`, /digest/],
    ] as const) {
      const ended = await runCommand(['doctor', 'upstream', reference, '--config', file])
      assert.equal(ended.status, 1)
      assert.match(ended.stderr, message)
      assert.doesNotMatch(ended.stderr, /\n +at /, 'no stack trace')
    }
  })

  test('reads $BERTH_CONFIG and secrets from files, as the server does', async () => {
    const password = canaries.password('puller')
    const passwordFile = join(directory, 'password')
    await writeFile(passwordFile, password)
    await withUpstream(
      ({ headers }, response) => {
        const [, basic = ''] = /^Basic (.*)$/.exec(String(headers['authorization'])) ?? []
        const isRight = Buffer.from(basic, 'base64').toString() === `puller:${password}`
        response.setHeader('www-authenticate', 'Basic realm="r"')
        sendJson(response, {}, isRight ? 200 : 401)
      },
      async ({ url }) => {
        const credentials = { type: 'static', username: 'puller', passwordFile }
        const file = await configure({ upstreams: [{ url, credentials }] })
        const ended = await runCommand(['doctor', 'upstream', '-o', 'json'], {
          environment: { BERTH_CONFIG: file },
        })
        outputs.push(ended.stdout, ended.stderr)
        assert.equal(ended.status, 0, ended.stdout + ended.stderr)
        assert.match(ended.stdout, /a password for puller/)
        assert.equal(await readFile(passwordFile, 'utf8'), password)
      },
    )
  })
})
