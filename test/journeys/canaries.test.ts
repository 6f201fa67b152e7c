import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { hashPassword } from '../../src/auth/auth.ts'
import { type ArtifactRegistry, startArtifactRegistry } from '../support/artifact-registry.ts'
import {
  type Berth,
  checkInvariants,
  eventually,
  removeBerth,
  startBerth,
} from '../support/berth.ts'
import { basicOf, createCanaries } from '../support/canaries.ts'
import { type Authority, createAuthority } from '../support/certificates.ts'
import { get } from '../support/client.ts'
import { runCommand } from '../support/command.ts'
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.ts'
import { type Google, startGoogle } from '../support/google.ts'
import { type Image, makeImage } from '../support/images.ts'
import { connectRaw, type RawReply } from '../support/raw.ts'
import { startTokenRegistry, type TokenRegistry } from '../support/token-registry.ts'
import { type Seen, sendJson, startWebServer, type WebServer } from '../support/web-server.ts'

const canaries = createCanaries()
const name = 'project/repository/app'
const image = makeImage()
const fromStorage = makeImage({ architecture: 'arm64' })

/** The secrets of all clients and servers. */
const secrets = {
  user: canaries.password('alice'),
  wrong: canaries.password('alice'),
  tokens: canaries.password('tokens-user'),
  refused: canaries.password('refused-user'),
  file: canaries.password('echo-user'),
  docker: canaries.password('docker-user'),
  closed: canaries.password('closed-user'),
  proxy: canaries.password('proxy-user'),
  signature: canaries.secret('signature'),
  query: canaries.secret('query'),
}

let authority: Authority
let google: Google
let artifacts: ArtifactRegistry
let tokens: TokenRegistry
let refusing: TokenRegistry
let docker: WebServer
let echo: WebServer
let storage: WebServer
let stranger: WebServer
let proxy: ConnectProxy
let directory: string
let berth: Berth
const environment: Record<string, string> = {}
const replies: RawReply[] = []
/** The received parts of truncated responses. */
const pieces: string[] = []

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'berth-canaries-'))
  authority = await createAuthority('canaries')
  google = await startGoogle({ grant: 'impersonation' })
  artifacts = await startArtifactRegistry({ accessTokens: google.accessTokens })
  artifacts.put(name, 'v1', image)
  tokens = await startTokenRegistry(() => canaries.secret('token'))
  tokens.user = ['tokens-user', secrets.tokens]
  tokens.registry = serveImages
  refusing = await startTokenRegistry(() => canaries.secret('token'))
  refusing.user = ['refused-user', 'another password']
  refusing.giveToken = echoCredentials
  docker = await startWebServer(wantsBasic('docker-user', secrets.docker, serveImages))
  echo = await startWebServer(wantsBasic('echo-user', secrets.file, echoCredentials))
  storage = await startWebServer(serveImages)
  stranger = await startWebServer(serveImages)
  proxy = await startConnectProxy({ wants: `Basic ${basicOf('proxy-user', secrets.proxy)}` })
  berth = await start()
})

after(async () => {
  await removeBerth(berth)
  await authority.remove()
  await rm(directory, { recursive: true, force: true })
  const servers = [tokens, refusing, docker, echo, storage, stranger, proxy]
  await Promise.all([...servers.map((server) => server.close()), google.stop(), artifacts.stop()])
})

async function start(): Promise<Berth> {
  const { certificate, key } = await authority.issue(['IP:127.0.0.1'])
  for (const line of key.split('\n').slice(1, -2)) canaries.add(line)
  const files = {
    htpasswd: `alice:${await hashPassword(secrets.user, 4)}\n`,
    'tls.pem': certificate,
    'tls.key': key,
    password: `${secrets.file}\n`,
    'config.json': JSON.stringify({
      auths: { [docker.host]: { auth: basicOf('docker-user', secrets.docker) } },
    }),
  }
  for (const [file, text] of Object.entries(files)) await writeFile(join(directory, file), text)
  canaries.add(files.htpasswd.slice('alice:'.length).trim())
  const googleFile = await google.configure(directory)
  canaries.add((await readFile(join(directory, 'token'), 'utf8')).trim())

  const proxied = proxy.url.replace('http://', `http://proxy-user:${secrets.proxy}@`)
  const wrongly = proxy.url.replace('http://', `http://nobody:${secrets.proxy}@`)
  Object.assign(environment, { HTTP_PROXY: proxied, HTTPS_PROXY: wrongly })
  const secret = (username: string, password: string) => ({ type: 'static', username, password })
  const redirects = [storage.url]
  return startBerth({
    environment,
    config: {
      auth: { htpasswd: join(directory, 'htpasswd') },
      tls: { certificate: join(directory, 'tls.pem'), key: join(directory, 'tls.key') },
      upstreams: [
        { url: tokens.url, credentials: secret('tokens-user', secrets.tokens), redirects },
        {
          prefix: 'refusing',
          url: refusing.url,
          credentials: secret('refused-user', secrets.refused),
        },
        {
          prefix: 'echo',
          url: echo.url,
          credentials: {
            type: 'static',
            username: 'echo-user',
            passwordFile: join(directory, 'password'),
          },
        },
        {
          prefix: 'docker',
          url: docker.url,
          credentials: { type: 'docker-config', file: join(directory, 'config.json') },
        },
        { prefix: 'google', url: artifacts.url, credentials: { type: 'google', file: googleFile } },
        { prefix: 'proxied', url: 'http://registry.example.com' },
        { prefix: 'tunnelled', url: 'https://registry.example.com' },
        {
          prefix: 'closed',
          url: 'http://127.0.0.1:1',
          credentials: secret('closed-user', secrets.closed),
        },
      ],
    },
  })
}

/** A registry with both images; it redirects to the storage for the blobs of one of them. */
function serveImages({ path }: Seen, response: ServerResponse): void {
  const reference = new URL(path, 'http://any').pathname.split('/').at(-1) ?? ''
  const manifest = [image, fromStorage].find(({ digest }) => digest === reference)
  if (reference === 'v1') return sendManifest(response, image)
  if (reference === 'signed') return sendManifest(response, fromStorage)
  if (manifest !== undefined) return sendManifest(response, manifest)
  if (reference === 'list') return void response.end('{"tags":["v1"]}')
  const isElsewhere = fromStorage.blobs.some(({ digest }) => digest === reference)
  if (isElsewhere && !path.startsWith('/bucket'))
    return void response
      .writeHead(307, {
        location: `${storage.url}/bucket/${reference}?signature=${secrets.signature}`,
      })
      .end()
  const blob = [image, fromStorage]
    .flatMap(({ blobs }) => blobs)
    .find(({ digest }) => digest === reference)
  if (blob === undefined) return sendJson(response, {}, 404)
  response.end(blob.bytes)
}

function sendManifest(response: ServerResponse, { mediaType, digest, bytes }: Image): void {
  response.writeHead(200, { 'content-type': mediaType, 'docker-content-digest': digest }).end(bytes)
}

type Serve = (seen: Seen, response: ServerResponse) => void

function wantsBasic(username: string, password: string, serve: Serve): Serve {
  return (seen, response) => {
    if (seen.headers['authorization'] === `Basic ${basicOf(username, password)}`)
      return serve(seen, response)
    response.writeHead(401, { 'www-authenticate': 'Basic realm="upstream"' }).end()
  }
}

/** Echoes the credentials of a request in every part of the response. */
function echoCredentials({ path, headers }: Seen, response: ServerResponse): void {
  const authorization = String(headers['authorization'])
  const login = Buffer.from(authorization.replace('Basic ', ''), 'base64').toString()
  const password = login.slice(login.indexOf(':') + 1)
  const message = `${login} has no right, sent ${authorization}`
  const reference = new URL(path, 'http://any').pathname.split('/').at(-1) ?? ''
  const error = JSON.stringify({ errors: [{ code: 'DENIED', message }] })
  const headersOfAll = {
    'x-sent': authorization,
    warning: `299 - "${message}"`,
    'set-cookie': password,
  }
  const [status, more, body] =
    {
      token: [403, {}, error] as const,
      denied: [403, {}, error] as const,
      text: [500, {}, message] as const,
      refused: [400, {}, message] as const,
      strange: [200, {}, message] as const,
      challenge: [
        401,
        { 'www-authenticate': `Bearer realm="${stranger.url}/?x=${password}",service="${login}"` },
        error,
      ] as const,
      redirect: [307, { location: `${stranger.url}/${password}?x=${password}` }, message] as const,
      userinfo: [307, { location: stranger.url.replace('//', `//${login}@`) }, ''] as const,
      digest: [200, { 'docker-content-digest': password }, '{}'] as const,
      list: [200, { link: `<${stranger.url}/?x=${password}>; rel="next"` }, '{"tags":[]}'] as const,
    }[reference] ?? ([404, {}, error] as const)
  response.writeHead(status, { ...headersOfAll, ...more }).end(body)
}

/** Sends one request; undefined if the response was truncated. */
async function request(path: string, ...headers: readonly string[]): Promise<RawReply | undefined> {
  const client = await connectRaw(berth.url)
  client.ask(`GET ${path} HTTP/1.1`, 'Host: berth', ...headers)
  try {
    const reply = await client.reply()
    replies.push(reply)
    return reply
  } catch {
    pieces.push(client.rest().toString('latin1'))
    return undefined
  } finally {
    client.socket.destroy()
  }
}

const alice = `Authorization: Basic ${basicOf('alice', secrets.user)}`

async function pull(prefix: string, tag: string, wanted: Image): Promise<void> {
  const manifest = await request(`/v2/${prefix}${name}/manifests/${tag}`, alice)
  assert.ok(manifest?.body.equals(wanted.bytes), `${prefix}: ${manifest?.body}`)
  for (const { digest, bytes } of wanted.blobs) {
    const blob = await request(`/v2/${prefix}${name}/blobs/${digest}`, alice)
    assert.ok(blob?.body.equals(bytes), `${prefix}: ${blob?.body.subarray(0, 300)}`)
  }
}

/** Sends a request that must get this status. */
async function fail(status: number, path: string, ...headers: readonly string[]): Promise<void> {
  const reply = await request(path, ...headers)
  assert.equal(reply?.status, status, `${path}: ${reply?.body}`)
}

test('no secret leaks through responses, logs, files or other servers, in success and failure (X179, A108, INV-4, INV-5)', async () => {
  // Successful requests.
  await pull('', 'v1', image)
  await pull('', 'signed', fromStorage)
  await pull('docker/', 'v1', image)
  await pull('google/', 'v1', image)
  assert.equal((await request('/v2/proxied/a/tags/list', alice))?.body.includes('by-proxy'), true)
  for (const path of ['/v2/', '/v2/_catalog', `/v2/${name}/tags/list`]) await fail(200, path, alice)

  // Rejected requests that contain secrets.
  const wrong = `Authorization: Basic ${basicOf('alice', secrets.wrong)}`
  await fail(401, '/v2/')
  await fail(401, '/v2/', wrong)
  await fail(401, '/v2/', alice, alice)
  await fail(401, '/v2/', `Authorization: Bearer ${secrets.user}`)
  await fail(401, '/v2/', `Authorization: ${secrets.user}`, `Cookie: ${secrets.user}`)
  await fail(404, `/${secrets.query}`, alice)
  await fail(400, `/v2/${secrets.query}:x/manifests/v1`, alice)
  await fail(400, `/v2/${name}/blobs/${secrets.query}`, alice)
  await fail(404, `/v2/${name}/manifests/v9?access_token=${secrets.query}`, alice)
  await fail(400, `http://alice:${secrets.user}@berth/v2/`, alice)
  await fail(400, `/v2/ ${secrets.query}`, alice)

  // Upstreams that deny, echo, redirect, or are unavailable.
  await fail(403, `/v2/refusing/${name}/manifests/v1`, alice)
  await fail(403, `/v2/echo/${name}/manifests/denied`, alice)
  await fail(502, `/v2/echo/${name}/manifests/refused`, alice)
  await fail(502, `/v2/echo/${name}/manifests/strange`, alice)
  await fail(502, `/v2/echo/${name}/manifests/challenge`, alice)
  await fail(502, `/v2/echo/${name}/manifests/redirect`, alice)
  await fail(502, `/v2/echo/${name}/manifests/userinfo`, alice)
  await fail(502, `/v2/echo/${name}/manifests/digest`, alice)
  await fail(502, `/v2/echo/${name}/tags/list`, alice)
  await fail(503, `/v2/echo/${name}/manifests/text`, alice)
  await fail(503, `/v2/closed/${name}/manifests/v1`, alice)
  await fail(503, `/v2/tunnelled/${name}/manifests/v1`, alice)

  // Revoked tokens, corrupt blobs and storage failures.
  tokens.expire()
  await fail(404, `/v2/${name}/manifests/gone`, alice)
  storage.answer((seen, response) => void response.writeHead(403).end(`no: ${seen.path}`))
  const other = makeImage()
  tokens.registry = (_seen, response) =>
    void response.writeHead(307, { location: `${storage.url}/?x=${secrets.signature}` }).end()
  await fail(502, `/v2/${name}/blobs/${other.blobs[1]?.digest}`, alice)
  storage.answer((_seen, response) => void response.end(Buffer.alloc(70_000)))
  await request(`/v2/${name}/blobs/${other.blobs[2]?.digest}`, alice)
  tokens.registry = (_seen, response) =>
    void response.writeHead(307, { location: `${stranger.url}/?x=${secrets.signature}` }).end()
  await fail(502, `/v2/${name}/manifests/elsewhere`, alice)
  await tokens.server.close()
  await fail(503, `/v2/${name}/manifests/away`, alice)

  // Files that are replaced with invalid ones.
  await writeFile(join(directory, 'htpasswd'), `alice:${secrets.user}\n`)
  await writeFile(join(directory, 'tls.key'), `nonsense ${secrets.query}`)
  await eventually('both files are noticed', async () => {
    const { body } = await get(`${berth.admin}/readyz`)
    return body.toString().split('cannot be used').length === 3
  })

  await assertNoLeak()
  await checkInvariants(berth)
})

async function assertNoLeak(): Promise<void> {
  for (const token of google.accessTokens.all()) canaries.add(token)
  const file = join(berth.directory, 'berth.yaml')
  const printed = await runCommand(['serve', '--print-config', '--config', file], { environment })
  assert.equal(printed.status, 0)
  assert.match(printed.stdout, /\[hidden\]/)
  const probes = await Promise.all(
    ['/metrics', '/readyz', '/livez', '/nothing'].map((path) => get(berth.admin + path)),
  )
  assert.ok(berth.logs().length > 40, 'the log has entries')
  assert.ok(replies.length > 40, 'there are replies')
  const given = [...google.accessTokens.all()]
  const subject = (await readFile(join(directory, 'token'), 'utf8')).trim()
  await canaries.assertUnseen({
    berths: [berth],
    replies: [...replies, ...probes],
    texts: [printed.stdout, printed.stderr, ...pieces, ...proxy.requests],
    strangers: [
      stranger,
      { ...storage, knows: [secrets.signature] },
      { ...tokens.server, knows: [secrets.tokens, ...tokens.tokens] },
      { ...refusing.server, knows: [secrets.refused] },
      { ...docker, knows: [secrets.docker] },
      { ...echo, knows: [secrets.file] },
      { ...artifacts, knows: given },
      { ...google, knows: [...given, subject] },
    ],
  })
  assert.equal(stranger.requests.length, 0)
  const everything = [
    JSON.stringify(berth.logs()),
    ...[...replies, ...probes].map(({ headers, body }) => JSON.stringify(headers) + body),
  ]
  for (const text of everything) assert.doesNotMatch(text, /ya29\.|eyJ[\w-]{20}|PRIVATE KEY|\$2y\$/)
  const stored = await readdir(join(berth.directory, 'data'), { recursive: true })
  for (const path of stored) assert.doesNotMatch(path, /canary|password|ya29/)
}
