import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { get } from '../support/client.ts'
import { useBerth } from '../support/use-berth.ts'

/** Compressed, in bytes; issue 15. */
const maxPage = 100_000

const berth = useBerth({ shared: true, config: { upstreams: [] } })

/** In modules of the page, with those on demand. */
const imports = /\b(?:from|import) ?\(?["']([^"']+)["']/g

const getPage = (path: string, headers: Readonly<Record<string, string>> = {}, method = 'GET') =>
  get(`${berth.url}${path}`, { headers, method })

/** Paths of the files that a text of the page names, below `/ui/`. */
function pathsIn(text: string, pattern: RegExp, base: string): readonly string[] {
  return [...text.matchAll(pattern)].map(
    ([, path = '']) => new URL(path, new URL(base, 'http://page')).pathname,
  )
}

/** The document, and all files that it and its modules name. */
async function allFiles(headers: Readonly<Record<string, string>> = {}) {
  const document = (await getPage('/ui/')).body.toString()
  const files = new Map<string, Awaited<ReturnType<typeof getPage>>>()
  const add = async (path: string): Promise<void> => {
    if (files.has(path)) return
    files.set(path, await getPage(path, headers))
    const code = path.endsWith('.js') ? (await getPage(path)).body.toString() : ''
    for (const next of pathsIn(code, imports, path)) await add(next)
  }
  for (const path of pathsIn(document, /(?:src|href)="([^"]+)"/g, '/ui/')) await add(path)
  return { document, files }
}

test('the page is at /ui/, where / and /ui lead by relative addresses', async () => {
  for (const path of ['/', '/ui', '/ui?x']) {
    const { status, headers } = await getPage(path)
    assert.deepEqual([status, headers.location], [307, 'ui/'])
  }
  const { status, headers } = await getPage('/ui/')
  assert.deepEqual([status, headers['content-type']], [200, 'text/html; charset=utf-8'])
  assert.equal((await getPage('/ui/', {}, 'HEAD')).status, 200)
})

test('nothing of it is inline, and its policy allows nothing else', async () => {
  const { document, files } = await allFiles()
  assert.doesNotMatch(
    document,
    /<script(?![^>]* src=)|<style| style=| on[a-z]+=|(?:src|href)="(?:\/|[a-z]+:)/,
  )
  for (const [path, { status, headers }] of [['/ui/', await getPage('/ui/')] as const, ...files]) {
    assert.equal(status, 200, path)
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.equal(
      headers['content-security-policy'],
      "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
        "require-trusted-types-for 'script'; trusted-types 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    )
  }
})

test('the document is revalidated, and files below its hash are kept for ever', async () => {
  const { files } = await allFiles()
  const document = await getPage('/ui/')
  assert.equal(document.headers['cache-control'], 'no-cache')
  const again = await getPage('/ui/', { 'if-none-match': document.headers.etag ?? '' })
  assert.deepEqual([again.status, again.body.length], [304, 0])
  const [hash] = [...files.keys()].map((path) => /^\/ui\/([0-9a-f]{16})\//.exec(path)?.[1])
  for (const [path, { headers }] of files) {
    assert.ok(path.startsWith(`/ui/${hash}/`), path)
    assert.equal(headers['cache-control'], 'public, max-age=31536000, immutable')
  }
  assert.equal((await getPage('/ui/0000000000000000/main.js')).status, 404)
})

test('files are compressed as the client accepts, with tags of their own', async () => {
  const plain = await getPage('/ui/')
  const gzip = await getPage('/ui/', { 'accept-encoding': 'gzip, br;q=0' })
  const brotli = await getPage('/ui/', { 'accept-encoding': 'gzip, deflate, br' })
  assert.equal(plain.headers['content-encoding'], undefined)
  assert.deepEqual(gunzipSync(gzip.body), plain.body)
  assert.deepEqual(brotliDecompressSync(brotli.body), plain.body)
  assert.equal(new Set([plain, gzip, brotli].map(({ headers }) => headers.etag)).size, 3)
  assert.equal(brotli.headers.vary, 'accept-encoding')
})

test('the whole page is smaller than 100 kB, and modules name no packages', async () => {
  const { files } = await allFiles({ 'accept-encoding': 'gzip' })
  const size = [...files.values()].reduce((sum, { body }) => sum + body.length, 0)
  assert.ok(files.size > 20 && size < maxPage, `${files.size} files, ${size} bytes`)
})

test('what the catalogue imports is preloaded, and nothing else', async () => {
  const { document, files } = await allFiles()
  const preloaded = pathsIn(document, /rel="modulepreload" href="([^"]+)"/g, '/ui/')
  const imported = new Set<string>()
  const follow = (path: string) => {
    if (imported.has(path)) return
    imported.add(path)
    const code = files.get(path)?.body.toString() ?? ''
    const found = pathsIn(code, /\b(?:from|import) ?["']([^"']+)["']/g, path)
    for (const next of found) follow(next)
  }
  for (const path of files.keys()) if (/\/(main|catalogue\/catalogue)\.js$/.test(path)) follow(path)
  assert.deepEqual([...preloaded].sort(), [...imported].sort())
  assert.ok(imported.size < files.size / 2, `${imported.size} of ${files.size} files`)
})

test('a path outside the page, a method that writes, and paths of the registry are not the page', async () => {
  for (const path of [
    '/ui/../package.json',
    '/ui/%2e%2e/package.json',
    '/ui//',
    '/ui/index.html',
    '/uix',
  ])
    assert.equal((await getPage(path)).status, 404, path)
  const post = await getPage('/ui/', {}, 'POST')
  assert.deepEqual([post.status, post.headers.allow], [405, 'GET, HEAD'])
  const registry = await getPage('/v2/', { accept: 'text/html' })
  assert.deepEqual([registry.status, registry.body.toString()], [200, '{}'])
})

test('ui.enabled: false serves neither the page nor its API', async () => {
  await berth.start({ config: { upstreams: [], ui: { enabled: false } } })
  for (const path of ['/', '/ui/', '/api/session'])
    assert.equal((await getPage(path)).status, 404, path)
})
