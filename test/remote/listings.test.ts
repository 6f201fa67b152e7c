import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { isRegistryError } from '../../src/oci/errors.ts'
import { mediaTypes } from '../../src/oci/manifest.ts'
import type { PageRequest } from '../../src/oci/page.ts'
import { parseRepositoryName, referrersTag } from '../../src/oci/reference.ts'
import type { Remote } from '../../src/remote/remote.ts'
import { cpuTimeOf } from '../support/cpu-time.ts'
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

/** All tags, page by page, as clients read them; of each page its tags. */
async function allPages(page: PageRequest = {}): Promise<readonly (readonly string[])[]> {
  const found: (readonly string[])[] = []
  for (let last = page.last; found.length < 300; ) {
    const list = await remote.tags(name, { ...page, last })
    found.push(list?.tags ?? [])
    if (list?.next === undefined) return found
    last = list.next
  }
  throw new Error('the pages have no end')
}

const tagsOf = async (page: PageRequest = {}) => (await allPages(page)).flat()
const paths = (from: number) =>
  server.requests.slice(from).map(({ path }) => decodeURIComponent(path.split('/').at(-1) ?? ''))

test('a page is one page of the upstream, sorted, without duplicates (P18)', async () => {
  pages({
    '': [['v2', 'v10'], '</v2/team/app/tags/list?last=v10&n=2>; rel="next"'],
    v10: [['v1', 'v2', 'v1'], '</v2/team/app/tags/list?last=v2>; rel=next'],
    v2: [['a']],
  })
  const before = server.requests.length
  const first = await remote.tags(name)
  assert.deepEqual([first?.tags, first?.next], [['v10', 'v2'], 'v2'])
  assert.deepEqual(paths(before), ['list?n=1000'])
  assert.deepEqual(await allPages(), [['v10', 'v2'], ['v1', 'v2'], ['a']])
})

test('`n` and `last` are passed on, and only the requested page is fetched (C195)', async () => {
  const all = Array.from({ length: 200_000 }, (_, at) => `t${String(at).padStart(6, '0')}`)
  server.answer(({ path }, response) => {
    const query = new URL(path, server.url).searchParams
    const rest = all.filter((tag) => tag > (query.get('last') ?? ''))
    const tags = rest.slice(0, Number(query.get('n')))
    const next = `</v2/team/app/tags/list?n=${query.get('n')}&last=${tags.at(-1)}>; rel="next"`
    if (tags.length < rest.length) response.setHeader('link', next)
    sendJson(response, { name, tags })
  })
  const before = server.requests.length
  const first = await remote.tags(name, { n: 10 })
  assert.deepEqual([first?.tags, first?.next], [all.slice(0, 10), all[9]])
  const second = await remote.tags(name, { n: 10, last: all[9] })
  assert.deepEqual(second?.tags, all.slice(10, 20))
  // Elsewhere than where a page ended.
  assert.deepEqual(
    (await remote.tags(name, { n: 2, last: 't1' }))?.tags,
    all.slice(100_000, 100_002),
  )
  assert.equal(server.requests.length - before, 3)
  assert.equal((await tagsOf()).length, all.length)
})

test('after an upstream rejects n=1000, fewer tags are requested, also later (C195)', async () => {
  for (const [status, most] of [
    [400, 100],
    [422, 100],
    [405, 0],
  ] as const) {
    server.answer(({ path }, response) => {
      const n = new URL(path, server.url).searchParams.get('n')
      if (n !== null && Number(n) > most) return sendJson(response, {}, status)
      sendJson(response, { name, tags: ['a', 'b'] })
    })
    const fresh = openRemote({ url: server.url })
    assert.deepEqual((await fresh.tags(name))?.tags, ['a', 'b'])
    const before = server.requests.length
    assert.deepEqual((await fresh.tags(name, { n: 1 }))?.tags, ['a'])
    assert.deepEqual(paths(before), [most === 0 ? 'list' : 'list?n=1'])
    await fresh.tags(name, { n: 5000 })
    assert.deepEqual(paths(before).at(-1), most === 0 ? 'list' : 'list?n=100')
    await fresh.close()
  }
})

test('a next page with a token instead of `last` is found by the last tag of the page before it (C195)', async () => {
  server.answer(({ path }, response) => {
    const token = new URL(path, server.url).searchParams.get('next_page')
    if (token === null)
      response.setHeader('link', '</v2/team/app/tags/list?next_page=x1>; rel="next"')
    sendJson(response, { name, tags: token === null ? ['z', 'b'] : ['c', 'a'] })
  })
  assert.deepEqual(await allPages(), [
    ['b', 'z'],
    ['a', 'c'],
  ])
})

test('a list of an upstream that ignores `n` and `last` is cut by Berth', async () => {
  server.answer((_seen, response) => sendJson(response, { name, tags: ['c', 'a', 'd', 'b'] }))
  assert.deepEqual(await allPages({ n: 2 }), [
    ['a', 'b'],
    ['c', 'd'],
  ])
  assert.deepEqual(await tagsOf({ n: 0 }), [])
})

test('empty pages are skipped, and too many of them are an error', async () => {
  pages({ '': [['..'], '<?last=x>; rel="next"'], x: [['one']] })
  assert.deepEqual(await allPages(), [['one']])
  pages({ '': [[], '<?last=>; rel="next"'] })
  await assert.rejects(remote.tags(name), isBroken)
})

test('a next page is found in every spelling of its Link', async () => {
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
    assert.deepEqual(await tagsOf(), ['one', 'two'], link)
  }
})

test('a Link to anything but a next page ends the list', async () => {
  for (const link of ['</x>; rel="prev"', 'nonsense', '', '<>', 'rel="next"']) {
    pages({ '': [['one'], link] })
    assert.deepEqual(await tagsOf(), ['one'], link)
  }
})

test('only path and query of a Link count: no other host gets a request', async () => {
  const links = [
    `<${stranger.url}/v2/team/app/tags/list?last=x>; rel="next"`,
    '<https://evil.example/v2/team/app/tags/list?last=x>; rel="next"',
    `<//${stranger.host}/v2/team/app/tags/list?last=x>; rel="next"`,
  ]
  for (const link of links) {
    pages({ '': [['one'], link], x: [['two']] })
    assert.deepEqual(await tagsOf(), ['one', 'two'], link)
  }
  assert.equal(stranger.requests.length, 0)
})

test('a list that continues in another list is not returned as complete', async () => {
  const links = [
    '</v2/team/other/tags/list?last=x>; rel="next"',
    '</v2/_catalog?last=x>; rel="next"',
    '<file:///etc/passwd>; rel="next"',
  ]
  for (const link of links) {
    pages({ '': [['one'], link], x: [['two']] })
    await assert.rejects(remote.tags(name), isBroken, link)
  }
})

test('invalid tags are omitted, and null is an empty list', async () => {
  pages({ '': [['ok', '', '.bad', 'a/b', 'x'.repeat(129), 'sha256:x', '../..']] })
  assert.deepEqual(await tagsOf(), ['ok'])
  server.answer((_seen, response) => sendJson(response, { name, tags: null }))
  assert.deepEqual(await tagsOf(), [])
  server.answer((_seen, response) => sendJson(response, { name, child: [], manifest: {} }))
  assert.deepEqual(await tagsOf(), [])
})

test('a missing repository has no tags', async () => {
  server.answer((_seen, response) => sendJson(response, {}, 404))
  assert.equal(await remote.tags(name), undefined)
})

test('an invalid list is a failure of the upstream (U39)', async () => {
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

test('an upstream below a path of its host may omit the path in a Link', async () => {
  const below = openRemote({ url: `${server.url}/artifactory/docker` })
  for (const link of ['/artifactory/docker/v2/team/app/tags/list?last=x', '?last=x']) {
    pages({ '': [['one'], `<${link}>; rel="next"`], x: [['two']] })
    assert.deepEqual((await below.tags(name))?.tags, ['one'])
    assert.deepEqual((await below.tags(name, { last: 'one' }))?.tags, ['two'])
    assert.equal(server.requests.at(-1)?.path, '/artifactory/docker/v2/team/app/tags/list?last=x')
  }
  await below.close()
})

test('a malicious Link is parsed in linear time (U55)', async () => {
  for (const link of [
    '<'.repeat(60_000),
    '<>;'.repeat(20_000),
    '<a>; rel='.repeat(6000),
    `<a>${';'.repeat(60_000)}`,
  ]) {
    pages({ '': [['one'], link] })
    const time = await cpuTimeOf(() => remote.tags(name).catch(() => {}))
    assert.ok(time < 500, `${time} ms`)
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

const referrersOf = async () => (await remote.referrers(name, digest)).descriptors

test('referrers are returned unchanged, from all pages', async () => {
  referrers(({ path }) =>
    path.includes('last')
      ? [{ manifests: [{ ...descriptor, size: 4 }] }]
      : [
          { manifests: [descriptor] },
          `${mediaTypes.ociIndex}; charset=utf-8`,
          '<?last=1>; rel="next"',
        ],
  )
  assert.deepEqual(await referrersOf(), [descriptor, { ...descriptor, size: 4 }])
})

test('without a referrers API, or with another server at its path, the referrers tag is used (C194)', async () => {
  const index = manifestOf(mediaTypes.ociIndex, { manifests: [descriptor] })
  for (const [status, type] of [
    [404, 'application/json'],
    [200, 'text/html'],
    [405, 'application/json'],
    [401, 'text/html'],
    [403, 'application/json'],
    [501, 'text/plain'],
  ] as const) {
    server.answer(({ path }, response) => {
      if (path.endsWith(`/manifests/${referrersTag(digest)}`))
        return void response.writeHead(200, { 'content-type': index.mediaType }).end(index.bytes)
      response.writeHead(status, { 'content-type': type }).end('{}')
    })
    assert.deepEqual(await referrersOf(), [descriptor])
  }
})

test('without API and tag the list is empty (P17)', async () => {
  server.answer((_seen, response) => sendJson(response, {}, 404))
  assert.deepEqual(await referrersOf(), [])
})

test('a referrers tag that points to an image is ignored', async () => {
  const image = makeImage()
  server.answer(({ path }, response) => {
    if (path.includes('/referrers/')) return sendJson(response, {}, 404)
    response.writeHead(200, { 'content-type': image.mediaType }).end(image.bytes)
  })
  assert.deepEqual(await referrersOf(), [])
})

test('a redirect of the referrers API to another site is not followed: the referrers tag is used (C194)', async () => {
  const index = manifestOf(mediaTypes.ociIndex, { manifests: [descriptor] })
  for (const location of [stranger.url, 'https://github.example/', 'nonsense://x']) {
    server.answer(({ path }, response) => {
      if (path.includes('/referrers/')) return void response.writeHead(303, { location }).end()
      response.writeHead(200, { 'content-type': index.mediaType }).end(index.bytes)
    })
    assert.deepEqual(await referrersOf(), [descriptor])
  }
  assert.equal(stranger.requests.length, 0)
})

test('answers of an upstream without the API are not failures (C194)', async () => {
  server.answer(({ path }, response) => {
    if (path.includes('/tags/list')) return sendJson(response, { name, tags: ['a'] })
    sendJson(response, {}, path.includes('/referrers/') ? 501 : 404)
  })
  const before = server.requests.length
  for (let times = 0; times < 10; times += 1) await referrersOf().catch(() => {})
  assert.equal(server.requests.length - before, 20)
  assert.deepEqual(await tagsOf(), ['a'])
})

test('a referrers tag that points to the subject itself is an empty list (C194)', async () => {
  const subject = manifestOf(mediaTypes.ociIndex, { manifests: [descriptor] })
  server.answer(({ path }, response) => {
    if (path.includes('/referrers/')) return sendJson(response, {}, 404)
    response.writeHead(200, { 'content-type': subject.mediaType }).end(subject.bytes)
  })
  assert.deepEqual((await remote.referrers(name, subject.digest)).descriptors, [])
})
