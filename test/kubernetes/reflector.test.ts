import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createApiClient } from '../../src/kubernetes/api-client.ts'
import { createReflector } from '../../src/kubernetes/reflector.ts'
import { eventually } from '../support/berth.ts'
import { createAuthority } from '../support/certificates.ts'
import { startFakeServer } from '../support/fake-server.ts'

const pod = (uid: string, version: number, image: string) => ({
  metadata: { uid, resourceVersion: `${version}` },
  spec: { containers: [{ image }] },
})

/** An API server that has pods, whose watches the test writes. */
async function startApi(t: TestContext) {
  const authority = await createAuthority('cluster')
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  await writeFile(join(directory, 'ca.crt'), await readFile(authority.file))
  await writeFile(join(directory, 'token'), 'secret-token\n')
  const api = {
    pods: [] as object[],
    version: 10,
    status: 200,
    watches: [] as { readonly from: string; readonly response: ServerResponse }[],
    lists: 0,
  }
  const server = await startFakeServer(
    ({ path, headers }, response) => {
      assert.equal(headers.authorization, 'Bearer secret-token')
      const query = new URL(path, 'http://x').searchParams
      if (api.status !== 200) return void response.writeHead(api.status).end('{}')
      if (query.get('watch') === '1') {
        response.writeHead(200).flushHeaders()
        api.watches.push({ from: query.get('resourceVersion') ?? '', response })
        return
      }
      const from = Number(query.get('continue') ?? 0)
      const limit = Number(query.get('limit'))
      const next = from + limit < api.pods.length ? `${from + limit}` : ''
      if (from === 0) api.lists += 1
      response.end(
        JSON.stringify({
          metadata: { resourceVersion: `${api.version}`, continue: next },
          items: api.pods.slice(from, from + limit),
        }),
      )
    },
    { tls: await authority.issue(['IP:127.0.0.1']) },
  )
  const send = (type: string, object: unknown) =>
    api.watches.at(-1)?.response.write(`${JSON.stringify({ type, object })}\n`)
  const reflect = (options: { maxSilence?: number } = {}) => {
    const client = createApiClient({ server: server.host, directory })
    const reflector = createReflector({
      client,
      path: '/api/v1/pods',
      kind: 'Pod',
      log: { warn: () => {} },
      retryDelay: 5,
      ...options,
    })
    t.after(async () => {
      await reflector.close()
      await client.close()
      await server.stop()
      await authority.remove()
      await rm(directory, { recursive: true })
    })
    return reflector
  }
  return { api, server, send, reflect }
}

test('lists in pages, then follows the watch from the version of the list', async (t) => {
  const { api, send, reflect } = await startApi(t)
  api.pods = Array.from({ length: 120 }, (_, at) => pod(`u${at}`, at, `h:1/a/b:${at}`))
  const reflector = reflect()
  assert.match(reflector.problem() ?? '', /not listed yet/)
  await reflector.synced
  assert.equal([...reflector.images()].length, 120)
  assert.equal(reflector.problem(), undefined)
  await eventually('it watches', () => api.watches.length === 1)
  assert.equal(api.watches[0]?.from, '10')
  const before = reflector.version()
  send('ADDED', pod('new', 11, 'h:1/a/new:1'))
  send('MODIFIED', pod('u0', 12, 'h:1/a/changed:1'))
  send('DELETED', pod('u1', 13, 'h:1/a/b:1'))
  await eventually('it has heard of it', () => reflector.version() === before + 3)
  const images = [...reflector.images()]
  assert.ok(images.includes('h:1/a/new:1') && images.includes('h:1/a/changed:1'))
  assert.ok(!images.includes('h:1/a/b:0') && !images.includes('h:1/a/b:1'))
})

test('it knows which object names an image, and the node of a pod', async (t) => {
  const { api, send, reflect } = await startApi(t)
  const named = (name: string, nodeName?: string) => ({
    metadata: { uid: name, name, namespace: 'team-a', resourceVersion: '1' },
    spec: { nodeName, containers: [{ image: 'h:1/a/b:1' }] },
  })
  api.pods = [named('placed', 'node-1'), named('waiting')]
  const reflector = reflect()
  await reflector.synced
  const use = { image: 'h:1/a/b:1', kind: 'Pod', namespace: 'team-a' }
  assert.deepEqual(
    [...reflector.uses()],
    [
      { ...use, name: 'placed', node: 'node-1' },
      { ...use, name: 'waiting' },
    ],
  )
  await eventually('it watches', () => api.watches.length === 1)
  send('MODIFIED', named('waiting', 'node-2'))
  await eventually('it is placed', () =>
    [...reflector.uses()].some(({ name, node }) => name === 'waiting' && node === 'node-2'),
  )
})

test('it knows which image a pod runs of a reference, until its containers have ended', async (t) => {
  const { api, reflect } = await startApi(t)
  const running = (name: string, status: object, more = {}) => ({
    metadata: { uid: name, name, resourceVersion: '1' },
    spec: { containers: [{ name: 'main', image: 'h:1/a/b:1', ...more }] },
    status: { containerStatuses: [{ name: 'main', image: 'h:1/a/b:2', ...status }] },
  })
  api.pods = [
    running('runs', { imageID: 'h:1/a/b@sha256:1' }),
    running('waits', { imageID: '' }),
    running('ended', { imageID: 'h:1/a/b@sha256:1', state: { terminated: { exitCode: 0 } } }),
    { ...running('other', { imageID: 'h:1/a/b@sha256:1', name: 'side' }) },
    { metadata: { uid: 'no', name: 'no' }, spec: 1, status: [] },
  ]
  const reflector = reflect()
  await reflector.synced
  const ids = [...reflector.uses()].flatMap(({ name, image, imageId }) =>
    image === 'h:1/a/b:1' ? [[name, imageId]] : [],
  )
  assert.deepEqual(ids, [
    ['runs', 'h:1/a/b@sha256:1'],
    ['waits', undefined],
    ['ended', undefined],
    ['other', undefined],
  ])
})

test('a watch that ends is continued from the last version, without a new list', async (t) => {
  const { api, send, reflect } = await startApi(t)
  reflect()
  await eventually('it watches', () => api.watches.length === 1)
  send('BOOKMARK', { metadata: { resourceVersion: '77' } })
  await eventually('it watches again', () => {
    api.watches[0]?.response.end()
    return api.watches.length === 2
  })
  assert.equal(api.watches[1]?.from, '77')
  assert.equal(api.lists, 1)
})

test('after 410 Gone it lists again, and keeps what it knew until then', async (t) => {
  const { api, send, reflect } = await startApi(t)
  api.pods = [pod('a', 1, 'x/a:1'), pod('b', 2, 'x/b:1')]
  const reflector = reflect()
  await eventually('it watches', () => api.watches.length === 1)
  api.pods = [pod('b', 2, 'x/b:1')]
  send('ERROR', { code: 410, reason: 'Expired' })
  await eventually('it lists again', () => api.lists === 2 && api.watches.length === 2)
  assert.deepEqual([...reflector.images()], ['x/b:1'])
})

test('after a silent watch it lists again: an API server sends nothing of a kind that never changed', async (t) => {
  const { api, reflect } = await startApi(t)
  const reflector = reflect({ maxSilence: 500 })
  await reflector.synced
  api.pods = [pod('a', 1, 'x/a:1')]
  await eventually('it has listed again', () => [...reflector.images()].length === 1)
  assert.equal(reflector.problem(), undefined)
  await eventually('it watches again', () => api.watches.length >= 3)
  assert.equal(reflector.problem(), undefined)
})

test('while nothing is heard and lists fail, the images are not known', async (t) => {
  const { api, reflect } = await startApi(t)
  const reflector = reflect({ maxSilence: 200 })
  await reflector.synced
  api.status = 500
  await eventually('it is not known', () => reflector.problem() !== undefined)
  api.status = 200
  await eventually('it is known again', () => reflector.problem() === undefined)
})

test('a forbidden list names the missing permission, and heals without a restart', async (t) => {
  const { api, reflect } = await startApi(t)
  api.status = 403
  const reflector = reflect()
  await eventually('it is refused', () => /may not list pods/.test(reflector.problem() ?? ''))
  api.status = 200
  await reflector.synced
  assert.equal(reflector.problem(), undefined)
})

test('an API server that goes away makes the images unknown', async (t) => {
  const { server, api, reflect } = await startApi(t)
  api.pods = [pod('a', 1, 'x/a:1')]
  const reflector = reflect()
  await reflector.synced
  await server.stop()
  await eventually('it is not known', () => reflector.problem() !== undefined)
  assert.deepEqual([...reflector.images()], ['x/a:1'])
})
