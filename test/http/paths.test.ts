import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseTarget, pathMatcher } from '../../src/http/paths.ts'
import { isRegistryError } from '../../src/oci/errors.ts'
import { isRepositoryName } from '../../src/oci/reference.ts'

/** Parts of names that are also words of the API. */
const word = fc.constantFrom('blobs', 'manifests', 'uploads', 'tags', 'list', 'referrers', 'v2')
const part = fc.oneof(word, fc.stringMatching(/^[a-z0-9]{1,6}([._-][a-z0-9]{1,6})?$/))
const name = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('/'))
const tag = fc.oneof(word, fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/))
const digest = fc.stringMatching(/^sha256:[a-f0-9]{64}$/)

const patterns = {
  manifests: '/v2/<name>/manifests/<reference>',
  blobs: '/v2/<name>/blobs/<digest>',
  tags: '/v2/<name>/tags/list',
  referrers: '/v2/<name>/referrers/<digest>',
  begin: '/v2/<name>/blobs/uploads/',
  upload: '/v2/<name>/blobs/uploads/<upload>',
}

test('a repository name may consist of words of the API', () => {
  const matcher = pathMatcher(patterns.manifests)
  fc.assert(
    fc.property(name, fc.oneof(tag, digest), (repository, reference) => {
      const found = matcher(`/v2/${repository}/manifests/${reference}`)
      assert.deepEqual(found, { name: repository, reference })
    }),
  )
  for (const [kind, pattern] of Object.entries(patterns)) {
    const reference = kind === 'tags' || kind === 'begin' ? '' : 'sha256:abc'
    const path = pattern.replace('<name>', 'a/b').replace(/<\w+>$/, reference)
    assert.deepEqual(pathMatcher(pattern)(path), { name: 'a/b', reference }, kind)
  }
})

test('exactly one pattern matches a path', () => {
  const matchers = Object.values(patterns).map(pathMatcher)
  fc.assert(
    fc.property(name, digest, (repository, reference) => {
      const paths = [
        `/v2/${repository}/manifests/${reference}`,
        `/v2/${repository}/blobs/${reference}`,
      ]
      for (const path of paths) {
        const names = matchers.flatMap((matcher) => matcher(path)?.name ?? [])
        assert.deepEqual(names, [repository])
      }
    }),
  )
})

test('a path without a name or a last segment matches no pattern', () => {
  const matchers = Object.values(patterns).map(pathMatcher)
  const paths = [
    '',
    '/',
    '/v2',
    '/v2/',
    '/v2/manifests/x',
    '/v2//manifests/',
    '/v2/a/manifests/',
    '/v2/a/manifests/x/',
    '/v2/a/manifests/x/y',
    '/V2/a/manifests/x',
    '//v2/a/manifests/x',
    '/v2/a/Manifests/x',
    '/v2/a/tags/list/',
    '/v2/a/tags/List',
    '/v2/a/blobs',
  ]
  for (const path of paths)
    for (const matcher of matchers) assert.equal(matcher(path), undefined, path)
})

test('a target is decoded once, and not normalized (T3)', () => {
  assert.equal(parseTarget('/v2/a%2Fb/blobs/sha256%3Aabc').path, '/v2/a/b/blobs/sha256:abc')
  assert.equal(parseTarget('/v2/%252e%252e/x').path, '/v2/%2e%2e/x')
  assert.equal(parseTarget('/v2/a/../b/./c//d').path, '/v2/a/../b/./c//d')
  assert.equal(parseTarget('/v2/a%00b').path, '/v2/a\0b')
  assert.equal(parseTarget('/v2/a%3Fns=x').path, '/v2/a?ns=x')
  assert.equal(parseTarget('/v2/?ns=a%2Fb&n=1').query.get('ns'), 'a/b')
})

test('any target is parsed or rejected as NAME_INVALID', () => {
  const target = fc.oneof(
    fc.string(),
    fc.webUrl(),
    fc.webPath(),
    fc.string().map((s) => `/${s}`),
  )
  fc.assert(
    fc.property(target, (text) => {
      try {
        const { path } = parseTarget(text)
        assert.ok(text.startsWith('/') && path.startsWith('/'))
      } catch (error) {
        assert.ok(isRegistryError(error, 'NAME_INVALID'))
      }
    }),
  )
  for (const text of [
    'http://x/v2/',
    '*',
    '',
    'v2/',
    `/${'a'.repeat(8192)}`,
    '/%',
    '/%ff',
    '/%c0%af',
  ])
    assert.throws(
      () => parseTarget(text),
      (error) => isRegistryError(error, 'NAME_INVALID'),
    )
})

test('no path results in a name that is not valid', () => {
  const odd = fc.constantFrom('..', '.', '%2e%2e', '', 'a', '\\', '%00', '%2f', 'A', '_', '%', ';')
  const path = fc.array(odd, { maxLength: 8 }).map((parts) => parts.join('/'))
  const matcher = pathMatcher(patterns.manifests)
  fc.assert(
    fc.property(path, (text) => {
      const found = matcher(`/v2/${text}/manifests/x`)
      if (found === undefined || !isRepositoryName(found.name)) return
      assert.doesNotMatch(found.name, /\.\.|%|\\|\0|\/\/|[A-Z]/)
    }),
  )
})
