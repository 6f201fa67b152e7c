import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { stringify } from 'yaml'
import { dockerKeyOf, findUpstream, imagePatterns, loadConfig } from '../../src/config/config.ts'
import { parseImageName } from '../../src/oci/image-location.ts'
import { ownDirectory } from '../support/directory.ts'

const embedded = loadConfig({ flags: {}, set: [], environment: {} })
const login = { type: 'static', username: 'u', password: 'p' }

async function load(t: TestContext, upstreams: readonly object[]) {
  const file = join(await ownDirectory(t), 'berth.yaml')
  await writeFile(file, stringify({ upstreams }))
  return loadConfig({ file, flags: {}, set: [], environment: {} })
}

suite('findUpstream', () => {
  test('finds an upstream by its host, with or without the default port', async (t) => {
    const loaded = await load(t, [
      { url: 'https://one.example', credentials: login },
      { prefix: 'two', url: 'http://two.example:5000', credentials: login },
      { prefix: 'three', url: 'http://three.example', credentials: login },
    ])
    const prefixOf = (host: string) => findUpstream(loaded, { host })?.upstream.prefix
    assert.equal(prefixOf('one.example'), '')
    assert.equal(prefixOf('one.example:443'), '')
    assert.equal(prefixOf('two.example:5000'), 'two')
    assert.equal(prefixOf('three.example:80'), 'three')
    for (const host of ['one.example:80', 'two.example', 'xone.example', 'e.one.example'])
      assert.equal(prefixOf(host), undefined, host)
  })

  test('finds Docker Hub by each of its names', () => {
    for (const host of ['docker.io', 'index.docker.io', 'registry-1.docker.io']) {
      const found = findUpstream(embedded, { host })
      assert.equal(found?.upstream.url, 'https://registry-1.docker.io')
      assert.equal(found && dockerKeyOf(found.upstream), 'https://index.docker.io/v1/')
    }
  })

  test('finds the first upstream of a host that serves the repository', async (t) => {
    const url = 'https://shared.example'
    const loaded = await load(t, [
      { prefix: 'a', url, credentials: login, repositories: ['team-a/**'] },
      { prefix: 'b', url, credentials: login },
    ])
    const find = (image: string) => {
      const location = parseImageName(image)
      assert.ok(location)
      return findUpstream(loaded, location)
    }
    assert.equal(find('shared.example/team-a/app')?.upstream.prefix, 'a')
    assert.equal(find('shared.example/team-b/app')?.upstream.prefix, 'b')
    assert.equal(find('shared.example/team-b/app')?.ownsHost, false)
    assert.equal(findUpstream(loaded, { host: 'shared.example' })?.upstream.prefix, 'a')
  })

  test('does not find an upstream whose repositories exclude the image', async (t) => {
    const url = 'https://one.example'
    const loaded = await load(t, [{ url, credentials: login, repositories: ['team/**'] }])
    const host = 'one.example'
    assert.equal(findUpstream(loaded, { host, repository: 'team/app' })?.ownsHost, false)
    assert.equal(findUpstream(loaded, { host, repository: 'other/app' }), undefined)
  })
})

suite('Artifact Registry', () => {
  const hosts = [
    'europe-west4-docker.pkg.dev',
    'us-docker.pkg.dev',
    'docker.us-central1.rep.pkg.dev',
    'gcr.io',
    'eu.gcr.io',
  ]

  test('is found by each of its hosts with the embedded default', () => {
    for (const host of hosts) {
      const found = findUpstream(embedded, { host })
      assert.equal(found?.upstream.url, `https://${host}`)
      assert.equal(found?.upstream.credentials.type, 'google')
      assert.equal(found?.ownsHost, true)
    }
  })

  test('is not found by similar host names', () => {
    const others = [
      ...['docker.pkg.dev', 'x.us-docker.pkg.dev', 'us-docker.pkg.dev.evil.example', 'xgcr.io'],
      ...['a.b.gcr.io', 'us-docker.pkg.dev:8443', 'us-python.pkg.dev', 'docker.a.b.rep.pkg.dev'],
    ]
    for (const host of others) assert.equal(findUpstream(embedded, { host }), undefined, host)
  })

  test('is found by the configured hosts only, with a configuration file', async (t) => {
    const google = { url: 'https://us-docker.pkg.dev', credentials: { type: 'google' } }
    const loaded = await load(t, [google])
    assert.ok(findUpstream(loaded, { host: 'us-docker.pkg.dev' }))
    assert.equal(findUpstream(loaded, { host: 'europe-docker.pkg.dev' }), undefined)
    assert.deepEqual(imagePatterns(loaded), ['us-docker.pkg.dev'])
  })
})

suite("patterns for kubelets' matchImages", () => {
  test('list each host with credentials once, and Docker Hub as docker.io', async (t) => {
    const loaded = await load(t, [
      { prefix: 'a', url: 'http://localhost:30026', credentials: login },
      { prefix: 'b', url: 'http://localhost:30026/', credentials: login },
      { prefix: 'docker.io', url: 'https://registry-1.docker.io', credentials: login },
      { prefix: 'quay.io', url: 'https://quay.io' },
    ])
    assert.deepEqual(imagePatterns(loaded), ['localhost:30026', 'docker.io'])
  })

  test('cover all of Artifact Registry with the embedded default, and no public registry', () => {
    const patterns = ['*-docker.pkg.dev', 'docker.*.rep.pkg.dev', 'gcr.io', '*.gcr.io']
    assert.deepEqual(imagePatterns(embedded), patterns)
  })
})
