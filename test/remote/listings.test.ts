import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { isRegistryError } from '../../src/oci/errors.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import { parseRepositoryName, referrersTag } from '../../src/oci/reference.ts'
import type { Remote } from '../../src/remote/remote.ts'
import { makeImage, manifestOf, randomBlob } from '../support/images.ts'
import { openRemote } from '../support/remotes.ts'
import { type Seen, sendJson, startWebServer, type WebServer } from '../support/web-server.ts'

const name = parseRepositoryName('team/app')
const { digest } = randomBlob(10)

let server: WebServer
let stranger: WebServer
let remote: Remote

before(async () => {
  server = await startWebServer(() => {})
  stranger = await startWebServer((_seen, response) => sendJson(response, { tags: ['evil'] }))
})
after(() => Promise.all([server.close(), stranger.close()]))
beforeEach(() => {
  remote = openRemote({ url: server.url })
})
afterEach(() => remote.close())

/** Pages by their `last`, each with what its Link header says. */
function pages(
  byLast: Readonly<Record<string, readonly [tags: readonly unknown[], link?: string]>>,
) {
  server.answer(({ path }, response) => {
    const last = new URL(path, server.url).searchParams.get('last') ?? ''
    const [tags, link] = byLast[last] ?? []
    if (tags === undefined) return sendJson(response, {}, 404)
    if (link !== undefined) response.setHeader('link', link)
    sendJson(response, { name, tags })
  })
}

const isBroken = (error: unknown) => isRegistryError(error, 'UNAVAILABLE') && error.status === 502

test('pages are followed to the end, sorted, and none is there twice (P18)', async () => {
  pages({
    '': [['v2', 'v10'], '</v2/team/app/tags/list?last=v10&n=2>; rel="next"'],
    v10: [['v1', 'v2'], '</v2/team/app/tags/list?last=v2>; rel=next'],
    v2: [['a']],
  })
  assert.deepEqual(await remote.tags(name), ['a', 'v1', 'v10', 'v2'])
  assert.deepEqual(new URL(server.requests.at(-3)?.path ?? '', server.url).search, '?n=1000')
})

test('a next page is found however its Link is written', async () => {
  const links = [
    '</v2/team/app/tags/list?last=x>; rel="next"',
    '<list?last=x>; rel="next"',
    '<?last=x>; rel="next"',
    `<${server.url}/v2/team/app/tags/list?last=x>; rel="next"`,
    `<//${server.host}/v2/team/app/tags/list?last=x>; rel="next"`,
    '</first>; rel="first", </v2/team/app/tags/list?last=x>; rel="next"',
    '</v2/team/app/tags/list?last=x>;rel=next',
    '</v2/team/app/tags/list?last=x>; title="y"; rel="next"',
  ]
  for (const link of links) {
    pages({ '': [['one'], link], x: [['two']] })
    assert.deepEqual(await remote.tags(name), ['one', 'two'], link)
  }
})

test('a Link that is no next page ends the list', async () => {
  for (const link of ['</x>; rel="prev"', 'nonsense', '', '<>', 'rel="next"']) {
    pages({ '': [['one'], link] })
    assert.deepEqual(await remote.tags(name), ['one'], link)
  }
})

test('nobody else is asked for a next page, and a list that goes on there is not passed off as whole', async () => {
  const links = [
    `<${stranger.url}/v2/team/app/tags/list?last=x>; rel="next"`,
    '<https://evil.example/v2/team/app/tags/list?last=x>; rel="next"',
    `<//${stranger.host}/v2/team/app/tags/list?last=x>; rel="next"`,
    '</v2/team/other/tags/list?last=x>; rel="next"',
    '</v2/_catalog?last=x>; rel="next"',
    '<file:///etc/passwd>; rel="next"',
  ]
  for (const link of links) {
    pages({ '': [['one'], link], x: [['two']] })
    await assert.rejects(remote.tags(name), isBroken, link)
  }
  assert.equal(stranger.requests.length, 0)
})

test('pages without an end are given up', async () => {
  pages({ '': [['one'], '<?last=>; rel="next"'] })
  const before = server.requests.length
  await assert.rejects(remote.tags(name), isBroken)
  assert.equal(server.requests.length - before, 200)
})

test('a list that breaks off is no list', async () => {
  pages({ '': [['one'], '<?last=x>; rel="next"'] })
  await assert.rejects(remote.tags(name), isBroken)
})

test('what is no tag is left out, and null is an empty list', async () => {
  pages({ '': [['ok', '', '.bad', 'a/b', 'x'.repeat(129), 'sha256:x', '../..']] })
  assert.deepEqual(await remote.tags(name), ['ok'])
  server.answer((_seen, response) => sendJson(response, { name, tags: null }))
  assert.deepEqual(await remote.tags(name), [])
  server.answer((_seen, response) => sendJson(response, { name, child: [], manifest: {} }))
  assert.deepEqual(await remote.tags(name), [])
})

test('a repository that is not there has no tags', async () => {
  server.answer((_seen, response) => sendJson(response, {}, 404))
  assert.equal(await remote.tags(name), undefined)
})

test('what is no list is a fault of the upstream (U39)', async () => {
  const bodies = ['<html>log in</html>', '[]', '"x"', '{"tags":[1]}', '{"tags":"x"}', '', '{']
  for (const body of bodies) {
    server.answer((_seen, response) => void response.writeHead(200).end(body))
    await assert.rejects(remote.tags(name), isBroken, body)
  }
})

test('a page that is too long is not read to its end (U40)', async () => {
  server.answer((_seen, response) => void response.writeHead(200).end(Buffer.alloc(9_000_000, ' ')))
  await assert.rejects(remote.tags(name), (error) => isRegistryError(error, 'SIZE_INVALID'))
})

test('an upstream below a path of its host is followed there, and written there or not', async () => {
  const below = openRemote({ url: `${server.url}/artifactory/docker` })
  for (const link of ['/artifactory/docker/v2/team/app/tags/list?last=x', '?last=x']) {
    pages({ '': [['one'], `<${link}>; rel="next"`], x: [['two']] })
    assert.deepEqual(await below.tags(name), ['one', 'two'])
    assert.equal(server.requests.at(-1)?.path, '/artifactory/docker/v2/team/app/tags/list?last=x')
  }
  await below.close()
})

test('a hostile Link costs no time (U55)', async () => {
  for (const link of [
    '<'.repeat(60_000),
    '<>;'.repeat(20_000),
    '<a>; rel='.repeat(6000),
    `<a>${';'.repeat(60_000)}`,
  ]) {
    pages({ '': [['one'], link] })
    const started = performance.now()
    await remote.tags(name).catch(() => {})
    assert.ok(performance.now() - started < 250, `${performance.now() - started} ms`)
  }
})

const descriptor = {
  mediaType: 'a/b',
  digest,
  size: 3,
  artifactType: 'x/y',
  custom: { kept: true },
}

function referrers(answer: (seen: Seen) => readonly [body: unknown, type?: string, link?: string]) {
  server.answer((seen, response) => {
    if (!seen.path.includes('/referrers/')) return sendJson(response, {}, 404)
    const [body, type = mediaTypes.ociIndex, link] = answer(seen)
    response.setHeader('content-type', type)
    if (link !== undefined) response.setHeader('link', link)
    response.end(JSON.stringify(body))
  })
}

test('referrers come as the upstream wrote them, over all pages', async () => {
  referrers(({ path }) =>
    path.includes('last')
      ? [{ manifests: [{ ...descriptor, size: 4 }] }]
      : [
          { manifests: [descriptor] },
          `${mediaTypes.ociIndex}; charset=utf-8`,
          '<?last=1>; rel="next"',
        ],
  )
  assert.deepEqual(await remote.referrers(name, digest), [descriptor, { ...descriptor, size: 4 }])
})

test('where the API is missing, or something else answers for it, the tag tells', async () => {
  const index = manifestOf(mediaTypes.ociIndex, { manifests: [descriptor] })
  for (const [status, type] of [
    [404, 'application/json'],
    [200, 'text/html'],
    [405, 'application/json'],
  ] as const) {
    server.answer(({ path }, response) => {
      if (path.endsWith(`/manifests/${referrersTag(digest)}`))
        return void response.writeHead(200, { 'content-type': index.mediaType }).end(index.bytes)
      response.writeHead(status, { 'content-type': type }).end('{}')
    })
    assert.deepEqual(await remote.referrers(name, digest), [descriptor])
  }
})

test('where neither API nor tag is, nothing refers to it (P17)', async () => {
  server.answer((_seen, response) => sendJson(response, {}, 404))
  assert.deepEqual(await remote.referrers(name, digest), [])
})

test('a referrers tag that points to an image is no list of referrers', async () => {
  const image = makeImage()
  server.answer(({ path }, response) => {
    if (path.includes('/referrers/')) return sendJson(response, {}, 404)
    response.writeHead(200, { 'content-type': image.mediaType }).end(image.bytes)
  })
  assert.deepEqual(await remote.referrers(name, digest), [])
})
