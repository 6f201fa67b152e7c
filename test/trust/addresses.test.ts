import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isLocalhost, parseRegistryHost, parseServer } from '../../src/trust/trust.ts'

test('hosts with and without a port are registries', () => {
  const good = ['localhost', 'localhost:30026', 'a.b.example:443', '10.0.0.7:5000', '[::1]:30026']
  for (const text of good) {
    assert.equal(parseRegistryHost(text), text)
    assert.equal(parseServer(`https://${text}/`)?.host, text)
  }
})

test('whatever else is refused, so that none is more than one part of a path', () => {
  const bad = [
    '',
    '.',
    '..',
    'a/b',
    'a..b',
    '-a',
    'a:',
    'a:b',
    'a:123456',
    'u@h',
    'a b',
    '_default',
  ]
  for (const text of bad) assert.equal(parseRegistryHost(text), undefined, text)
  fc.assert(
    fc.property(fc.string(), (text) => {
      const host = parseRegistryHost(text)
      assert.ok(host === undefined || /^[a-zA-Z0-9.:[\]-]+$/.test(host))
    }),
  )
})

test('a server is a plain origin', () => {
  assert.deepEqual(parseServer('http://10.0.0.7:80'), {
    origin: 'http://10.0.0.7:80',
    host: '10.0.0.7:80',
    isTls: false,
  })
  for (const text of ['ftp://a', 'http://a/b', 'http://u:p@a', 'http://a?b', 'a:80', 'http://'])
    assert.equal(parseServer(text), undefined, text)
})

test('localhost is what docker and containerd take for it', () => {
  for (const text of ['localhost:1', 'localhost', '127.0.0.1:5', '127.9.9.9', '[::1]:1'])
    assert.ok(isLocalhost(text), text)
  for (const text of ['localhost.example', 'xlocalhost:1', '128.0.0.1:5', '[::2]:1', '10.127.0.0'])
    assert.ok(!isLocalhost(text), text)
})
