import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fullNames, isStoreName, sourcesIn, withTag } from '../../src/stores/image-names.ts'
import { parseStoreReference } from '../../src/stores/store-reference.ts'

test('a name is looked for as docker, podman and the CRI plugin complete it', () => {
  assert.deepEqual(fullNames('app'), [
    'app',
    'app:latest',
    'docker.io/library/app:latest',
    'localhost/app:latest',
  ])
  assert.deepEqual(fullNames('team/app:1.2'), [
    'team/app:1.2',
    'docker.io/team/app:1.2',
    'localhost/team/app:1.2',
  ])
  assert.deepEqual(fullNames('localhost:30026/local/app'), [
    'localhost:30026/local/app',
    'localhost:30026/local/app:latest',
  ])
  const digest = `sha256:${'a'.repeat(64)}`
  assert.deepEqual(fullNames(`host.example/app@${digest}`), [`host.example/app@${digest}`])
})

test('a port is no tag', () => {
  assert.equal(withTag('localhost:5000/app'), 'localhost:5000/app:latest')
  assert.equal(withTag('localhost:5000/app:1'), 'localhost:5000/app:1')
})

test('no name leads elsewhere in an API, or is an option of a program', () => {
  for (const name of ['app', 'localhost:5000/a/b_c.d:1.2', 'sha256:abc', 'app@sha256:abc', 'f00d'])
    assert.ok(isStoreName(name), name)
  for (const name of [
    ...['', '-v', '--root=/x', '../../containers/json', 'a/../../b', 'a/./b', './app.tar'],
    ...[
      '/app',
      'a//b',
      'a?b',
      'a#b',
      'a b',
      'a%2fb',
      'a\nb',
      'a\\b',
      'a/..',
      `a${'b'.repeat(512)}`,
    ],
  ])
    assert.ok(!isStoreName(name), name)
})

test('stores have prefixes of their own, and skopeo names; an image may be called docker', () => {
  assert.deepEqual(parseStoreReference('docker://app:1'), { store: 'docker', name: 'app:1' })
  assert.deepEqual(parseStoreReference('docker-daemon:app:1'), { store: 'docker', name: 'app:1' })
  assert.deepEqual(parseStoreReference('containers-storage:app'), { store: 'podman', name: 'app' })
  assert.deepEqual(parseStoreReference('containerd://app'), { store: 'containerd', name: 'app' })
  for (const text of ['docker:27', 'podman:5', 'app', 'oci:layout'])
    assert.equal(parseStoreReference(text), undefined, text)
})

test('content without an image has the repositories that it was pulled from', () => {
  const labels = {
    'containerd.io/distribution.source.localhost:30026': 'local/a,local/b',
    'containerd.io/uncompressed': 'sha256:0',
  }
  assert.deepEqual(sourcesIn(labels), ['localhost:30026/local/a', 'localhost:30026/local/b'])
})
