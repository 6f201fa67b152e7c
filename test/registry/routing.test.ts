import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isRegistryError } from '../../src/oci/errors.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import type { Repository } from '../../src/registry/registry.ts'
import { createRouting, type Route } from '../../src/registry/routing.ts'

type PartialRoute = Partial<Route> & { readonly prefix: string }

/** Where names were led: the route's prefix, and the name below it. */
function routing(...routes: readonly PartialRoute[]) {
  return routingWith([], routes)
}

function routingWith(ownHosts: readonly string[], routes: readonly PartialRoute[]) {
  let led: string | undefined
  const repository: Repository = {
    manifest: async () => undefined,
    blob: async () => undefined,
    statBlob: async () => undefined,
    tags: async () => undefined,
    referrers: async () => ({ descriptors: [] }),
  }
  const resolve = createRouting(
    routes.map((route) => ({
      hosts: [],
      repositories: ['**'],
      anonymous: false,
      isHosted: false,
      ...route,
      open: (below) => {
        led = `${route.prefix}|${below}`
        return { repository }
      },
    })),
    ownHosts,
  )
  return (name: string, namespace?: string) => {
    const resolved = resolve(parseRepositoryName(name), namespace)
    return { ...resolved, led }
  }
}

const refused = (code: 'NAME_UNKNOWN' | 'DENIED') => (error: unknown) =>
  isRegistryError(error, code)

test('the longest prefix wins, whatever the order of the configuration', () => {
  const prefixes = ['', 'docker.io', 'docker.io/team', 'local'].map((prefix) => ({ prefix }))
  for (const routes of [prefixes, prefixes.toReversed()]) {
    const resolve = routing(...routes)
    assert.equal(resolve('docker.io/team/app').led, 'docker.io/team|app')
    assert.equal(resolve('docker.io/team/app').prefix, 'docker.io/team')
    assert.equal(resolve('docker.io/team/app').below, 'app')
    assert.equal(resolve('docker.io/library/busybox').led, 'docker.io|library/busybox')
    assert.equal(resolve('local/app').led, 'local|app')
    assert.equal(resolve('project/repo/image').led, '|project/repo/image')
  }
})

test('a prefix is whole segments, and needs something below it', () => {
  const resolve = routing({ prefix: '' }, { prefix: 'docker.io' })
  assert.equal(resolve('docker.iox/app').led, '|docker.iox/app')
  assert.equal(resolve('docker.io').led, '|docker.io')
  assert.equal(resolve('my/docker.io/app').led, '|my/docker.io/app')
})

test('a name without a matching prefix is unknown if there is no default upstream', () => {
  assert.throws(() => routing({ prefix: 'docker.io' })('ghcr.io/app'), refused('NAME_UNKNOWN'))
  assert.throws(() => routing()('app'), refused('NAME_UNKNOWN'))
  const hosted = ['local', 'team/b'].map((prefix) => ({ prefix, isHosted: true }))
  assert.throws(() => routing({ prefix: 'docker.io' }, ...hosted)('app'), {
    code: 'NAME_UNKNOWN',
    message: /; images of this registry are below team\/b\/ and local\/$/,
  })
})

test('a name that its upstream does not serve is denied, and no other upstream is tried', () => {
  const resolve = routing(
    { prefix: '' },
    { prefix: 'docker.io', repositories: ['library/*', 'team/**'] },
  )
  assert.equal(resolve('docker.io/library/busybox').led, 'docker.io|library/busybox')
  assert.equal(resolve('docker.io/team/a/b/c').led, 'docker.io|team/a/b/c')
  for (const name of ['library/a/b', 'other/app', 'libraryx/a', 'library'])
    assert.throws(() => resolve(`docker.io/${name}`), refused('DENIED'), name)
})

test('a repository has the same name for each way of requesting it', () => {
  const resolve = routing({ prefix: 'hub', hosts: ['registry-1.docker.io', 'hub'] })
  assert.equal(resolve('hub/library/busybox').name, 'hub/library/busybox')
  assert.equal(resolve('library/busybox', 'registry-1.docker.io').name, 'hub/library/busybox')
})

test('?ns= with a name of this registry means the path, unless an upstream has the host', () => {
  const routes = [
    { prefix: '' },
    { prefix: 'local' },
    { prefix: 'hub', hosts: ['hub.example.com'] },
  ]
  const resolve = routingWith(['registry.example.com', '*.ours.example', '*.example.com'], routes)
  const own = ['registry.example.com', 'Registry.example.com:443', 'eu.ours.example:5000']
  for (const namespace of own) {
    assert.equal(resolve('local/app', namespace).led, 'local|app')
    assert.equal(resolve('local/app', namespace).namespace, undefined)
  }
  assert.equal(resolve('app', 'hub.example.com').led, 'hub|app')
  for (const namespace of ['ours.example', 'a.b.ours.example', 'registry.example.org', ''])
    assert.throws(() => resolve('local/app', namespace), refused('NAME_UNKNOWN'), namespace)
})

test('?ns= selects the upstream of that host or prefix, and is returned (P16)', () => {
  const resolve = routing(
    { prefix: '', hosts: ['us-docker.pkg.dev', ''] },
    { prefix: 'docker.io', hosts: ['registry-1.docker.io', 'docker.io'] },
  )
  const found = resolve('library/busybox', 'docker.io')
  assert.deepEqual([found.led, found.namespace], ['docker.io|library/busybox', 'docker.io'])
  assert.equal(resolve('p/r/i', 'us-docker.pkg.dev').led, '|p/r/i')
  assert.equal(resolve('p/r/i').namespace, undefined)
})

test('?ns= does not give access to repositories that an upstream does not serve', () => {
  const resolve = routing({ prefix: 'hub', hosts: ['h.io'], repositories: ['library/*'] })
  assert.throws(() => resolve('other/app', 'h.io'), refused('DENIED'))
})

test('?ns= of a host that is not configured is unknown in every spelling (P16)', () => {
  const resolve = routing({ prefix: '', hosts: ['h.io'] })
  for (const namespace of ['evil.org', 'H.IO', 'h.io:443', 'h.io.', ' h.io', 'https://h.io', '*'])
    assert.throws(() => resolve('app', namespace), refused('NAME_UNKNOWN'), namespace)
})

test('?ns= with an address of this machine is ignored', () => {
  const resolve = routing({ prefix: '' })
  for (const namespace of ['localhost:30026', 'localhost', '127.0.0.1:30026', '[::1]:30026']) {
    const found = resolve('app', namespace)
    assert.deepEqual([found.led, found.namespace], ['|app', undefined], namespace)
  }
  for (const namespace of ['localhost.evil.org', '127.0.0.1.evil.org', 'notlocalhost'])
    assert.throws(() => resolve('app', namespace), refused('NAME_UNKNOWN'), namespace)
})

const part = fc.stringMatching(/^[a-z0-9]{1,5}$/)
const name = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))

test('for any prefixes, the longest matching one serves a name', () => {
  fc.assert(
    fc.property(fc.uniqueArray(name, { maxLength: 6 }), name, (prefixes, asked) => {
      const expected = prefixes
        .filter((prefix) => asked.startsWith(`${prefix}/`))
        .reduce((longest, prefix) => (prefix.length > longest.length ? prefix : longest), '')
      const below = expected === '' ? asked : asked.slice(expected.length + 1)
      const resolve = routing({ prefix: '' }, ...prefixes.map((prefix) => ({ prefix })))
      assert.equal(resolve(asked).led, `${expected}|${below}`)
    }),
  )
})

test('a namespace does not map two repositories to one name', () => {
  const resolve = routing(
    { prefix: '', hosts: ['default.example'] },
    { prefix: 'docker.io', hosts: ['registry-1.docker.io', 'docker.io'] },
  )
  assert.equal(resolve('team/app', 'default.example').led, '|team/app')
  assert.throws(() => resolve('docker.io/team/app', 'default.example'), refused('NAME_UNKNOWN'))
})

const hub = 'registry-1.docker.io'

test('?ns= with the prefix in the path means that path, and the prefix is not added twice (C187)', () => {
  const resolve = routing(
    { prefix: '' },
    { prefix: 'docker.io', hosts: [hub] },
    { prefix: 'ghcr.io', hosts: ['ghcr.io'] },
  )
  for (const path of [
    'docker.io/library/busybox',
    'library/busybox',
    'docker.io/busybox',
    'busybox',
  ]) {
    const found = resolve(path, 'docker.io')
    assert.equal(found.led, 'docker.io|library/busybox', path)
    assert.equal(found.name, 'docker.io/library/busybox')
  }
  assert.equal(resolve('ghcr.io/org/app', 'ghcr.io').led, 'ghcr.io|org/app')
  assert.equal(resolve('org/app', 'ghcr.io').led, 'ghcr.io|org/app')
})

test('a prefix that may also be the start of a name at the upstream is not removed', () => {
  const resolve = routing({ prefix: 'acme', hosts: ['registry.acme.example'] })
  assert.equal(resolve('acme/app', 'registry.acme.example').led, 'acme|acme/app')
  assert.equal(resolve('acme/app').led, 'acme|app')
})

test('any prefix is removed before a name of Docker Hub', () => {
  const resolve = routing({ prefix: 'hub', hosts: [hub] })
  assert.equal(resolve('hub/library/busybox', 'docker.io').led, 'hub|library/busybox')
  assert.equal(resolve('hub/busybox', 'docker.io').led, 'hub|hub/busybox')
})

test('?ns=docker.io selects Docker Hub by each of its host names, also as the default upstream (C187)', () => {
  const resolve = routing({ prefix: '', hosts: [hub] })
  for (const namespace of ['docker.io', 'index.docker.io', hub])
    for (const path of ['library/busybox', 'docker.io/library/busybox', 'busybox'])
      if (path !== 'docker.io/library/busybox' || namespace === 'docker.io')
        assert.equal(resolve(path, namespace).led, '|library/busybox', `${path} ${namespace}`)
})

test('the upstream with the namespace as its prefix precedes others with the same host', () => {
  const resolve = routing(
    { prefix: 'docker.io', hosts: [hub] },
    { prefix: 'private-docker-hub', hosts: [hub] },
  )
  assert.equal(resolve('team/app', 'docker.io').led, 'docker.io|team/app')
})

test('an official image of Docker Hub has one name, by which access is decided', () => {
  const resolve = routing({ prefix: 'docker.io', hosts: [hub], repositories: ['library/*'] })
  assert.equal(resolve('docker.io/busybox').name, 'docker.io/library/busybox')
  assert.equal(routing({ prefix: 'x', hosts: ['x.example'] })('x/busybox').name, 'x/busybox')
})
