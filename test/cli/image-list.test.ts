import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { formatTime } from '../../src/cli/images/tag-list.ts'
import { removeBerth, startBerth } from '../support/berth.ts'
import { runCommand } from '../support/command.ts'
import { type Image, makeImage, makeIndex } from '../support/images.ts'
import { createPushClient } from '../support/push-client.ts'
import { type Answering, sendJson, startWebServer } from '../support/web-server.ts'

const everything = [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push', 'delete'] }]

async function serverFor(t: TestContext, answer: Answering) {
  const server = await startWebServer(answer)
  t.after(server.close)
  return { ...server, host: `127.0.0.1:${server.port}` }
}

async function list(...words: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await runCommand(['image', 'list', ...words])
  assert.equal(status, 0, stderr)
  return stdout
}

test('a real Berth lists repositories, tags in natural order, and what images are', async (t) => {
  const config = { upstreams: [], auth: { anonymous: 'rules', access: everything } }
  const berth = await startBerth({ config })
  t.after(() => removeBerth(berth))
  const { host } = new URL(berth.url)
  const arm = makeImage({ architecture: 'arm64' })
  const index = makeIndex([makeImage(), arm])
  const { push } = createPushClient(berth.url)
  await push('local/app', index, 'v1.10', 'v1.9', 'latest')
  await push('local/app', arm, 'arm')
  await push('local/team/tool', makeImage(), '1')

  assert.equal(await list(host), 'local/app\nlocal/team/tool\n')
  assert.equal(await list(`${host}/local/team/`), 'local/team/tool\n')
  assert.equal(await list(`${host}/local/app`), 'arm\nlatest\nv1.9\nv1.10\n')
  const [header, first, , ten] = (await list(`${host}/local/app`, '--digests')).split('\n')
  assert.equal(header, 'TAG     DIGEST')
  assert.equal(first, `arm     ${arm.digest}`)
  assert.equal(ten, `v1.9    ${index.digest}`)
  const long = await list('--long', host)
  assert.match(long, /^REPOSITORY +TAG +DIGEST +SIZE +CREATED +PLATFORMS\n/)
  assert.match(long, /^local\/app +v1\.10 .* 527 KiB +- +linux\/amd64,linux\/arm64$/m)
  assert.match(long, /^local\/app +arm .* 264 KiB +- +linux\/arm64$/m)
  const all = JSON.parse(await list('--all', '--long', host, '-o', 'json'))
  assert.equal(all.registry, host)
  const [app, tool] = all.repositories
  assert.equal(tool.repository, `${host}/local/team/tool`)
  const newest = app.tags.find(({ tag }: { tag: string }) => tag === 'v1.10')
  assert.equal(newest.digest, index.digest)
  assert.deepEqual(
    newest.platforms.map(({ platform, digest }: Record<string, string>) => [platform, digest]),
    index.children.map(({ digest }, at) => [['linux/amd64', 'linux/arm64'][at], digest]),
  )
  const missing = await runCommand(['image', 'list', `${host}/local/none`])
  assert.equal(missing.status, 1)
  assert.match(missing.stderr, /has no repository local\/none/)
})

test('a date that stands for none is not printed', () => {
  for (const text of [undefined, '', 'soon', '0001-01-01T00:00:00Z', '1970-01-01T00:00:00Z'])
    assert.equal(formatTime(text), '', text)
  assert.equal(formatTime('2024-05-06T07:08:09.123Z'), '2024-05-06T07:08:09Z')
})

/** A registry with one image under many tags, which answers only when requests wait together. */
async function manyTags(t: TestContext, count: number, image: Image) {
  const waiting: (() => void)[] = []
  const server = await serverFor(t, async ({ method, path }, response) => {
    if (path.includes('/tags/list'))
      return sendJson(response, { tags: Array.from({ length: count }, (_, at) => `v${at}`) })
    if (method === 'HEAD') {
      await new Promise<void>((resolve) => {
        waiting.push(resolve)
        if (waiting.length === 4) for (const go of waiting.splice(0)) go()
      })
      response.setHeader('docker-content-digest', image.digest)
      return void response.end()
    }
    const blob = image.blobs.find(({ digest }) => path.endsWith(digest))
    response.setHeader('content-type', blob ? 'application/octet-stream' : image.mediaType)
    return void response.end(blob?.bytes ?? image.bytes)
  })
  return server
}

test('digests are asked for in parallel, and an image with many tags is read once', async (t) => {
  const image = makeImage()
  const server = await manyTags(t, 16, image)
  const long = await list(`${server.host}/app`, '--long')
  assert.equal(long.trim().split('\n').length, 17)
  assert.equal(server.count('HEAD'), 16)
  assert.equal(server.count(`GET /v2/app/manifests/${image.digest}`), 1)
  assert.equal(server.count(`GET /v2/app/blobs/`), 1)
})

test('the pages of a catalog are followed, whatever the link looks like', async (t) => {
  const server = await serverFor(t, ({ path }, response) => {
    const { searchParams } = new URL(path, 'http://any')
    const page = searchParams.get('token')
    if (page === null) response.setHeader('link', '</v2/_catalog?token=b&n=2>; rel="next"')
    sendJson(response, { repositories: page === null ? ['b10', 'b9'] : ['a', '../evil', 'b9'] })
  })
  assert.equal(await list(server.host), 'a\nb9\nb10\n')
})

for (const [registry, status, headers] of [
  ['Harbor and Docker Hub refuse it', 401, { 'www-authenticate': 'Basic realm="r"' }],
  ['OpenShift denies it', 403, {}],
  ['GitHub has none', 404, {}],
  ['another one does not support it', 405, {}],
] as const)
  test(`a registry without a catalog says so, and what to do: ${registry}`, async (t) => {
    const server = await serverFor(t, (_request, response) => {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
      const message = 'ask its administrators'
      sendJson(response, { errors: [{ code: 'UNAUTHORIZED', message }] }, status)
    })
    const { status: exit, stderr, stdout } = await runCommand(['image', 'list', server.host])
    assert.equal(exit, 1)
    assert.equal(stdout, '')
    const refusal = `cannot list the repositories .* answered ${status} .*: ask its administrators`
    assert.match(stderr, new RegExp(refusal))
    assert.match(stderr, /name a repository/)
  })

test('a repository that cannot be read does not hide the others', async (t) => {
  const server = await serverFor(t, ({ path }, response) => {
    if (path.includes('_catalog')) return sendJson(response, { repositories: ['a', 'b', 'c'] })
    if (path.includes('/b/')) return sendJson(response, { errors: [{ code: 'DENIED' }] }, 403)
    sendJson(response, { tags: ['1'] })
  })
  const { status, stdout, stderr } = await runCommand(['image', 'list', '-a', server.host])
  assert.equal(status, 1)
  assert.equal(stdout, 'REPOSITORY  TAG\na           1\nb           -\nc           1\n')
  assert.match(stderr, /^berth: b: .*403/m)
})

test('the token for a catalog has the scope of the catalog', async (t) => {
  const server = await serverFor(t, ({ path, headers }, response) => {
    const url = new URL(path, 'http://any')
    if (url.pathname === '/token')
      return sendJson(response, { token: String(url.searchParams.get('scope')) })
    if (headers['authorization'] === 'Bearer registry:catalog:*')
      return sendJson(response, { repositories: ['app'] })
    const realm = `Bearer realm="${server.url}/token",service="s",scope="registry:catalog:*"`
    response.setHeader('www-authenticate', realm)
    sendJson(response, { errors: [{ code: 'UNAUTHORIZED' }] }, 401)
  })
  assert.equal(await list(server.host), 'app\n')
})
