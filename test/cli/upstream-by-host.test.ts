import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { stringify } from 'yaml'
import { parseImage } from '../../src/cli/place.ts'
import { findUpstream, imagePatterns, serverOf } from '../../src/cli/upstream-by-host.ts'
import { loadConfig } from '../../src/config/config.ts'
import { ownDirectory } from '../support/directory.ts'

const embedded = loadConfig({ flags: {}, set: [], environment: {} })
const login = { type: 'static', username: 'u', password: 'p' }

async function load(t: TestContext, upstreams: readonly object[]) {
  const file = join(await ownDirectory(t), 'berth.yaml')
  await writeFile(file, stringify({ upstreams }))
  return loadConfig({ file, flags: {}, set: [], environment: {} })
}

suite('an upstream by its host', () => {
  test('is found by its host, and by its port where the URL leaves it out', async (t) => {
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

  test('is Docker Hub by any of its names', () => {
    for (const host of ['docker.io', 'index.docker.io', 'registry-1.docker.io']) {
      const found = findUpstream(embedded, { host })
      assert.equal(found?.upstream.url, 'https://registry-1.docker.io')
      assert.equal(found && serverOf(found.upstream), 'https://index.docker.io/v1/')
    }
  })

  test('of several with one host, is the first that serves the repository', async (t) => {
    const url = 'https://shared.example'
    const loaded = await load(t, [
      { prefix: 'a', url, credentials: login, repositories: ['team-a/**'] },
      { prefix: 'b', url, credentials: login },
    ])
    const find = (image: string) => {
      const place = parseImage(image)
      assert.ok(place)
      return findUpstream(loaded, place)
    }
    assert.equal(find('shared.example/team-a/app')?.upstream.prefix, 'a')
    assert.equal(find('shared.example/team-b/app')?.upstream.prefix, 'b')
    assert.equal(find('shared.example/team-b/app')?.isWhole, false)
    assert.equal(findUpstream(loaded, { host: 'shared.example' })?.upstream.prefix, 'a')
  })

  test('that serves some repositories is none for the others', async (t) => {
    const url = 'https://one.example'
    const loaded = await load(t, [{ url, credentials: login, repositories: ['team/**'] }])
    const host = 'one.example'
    assert.equal(findUpstream(loaded, { host, repository: 'team/app' })?.isWhole, false)
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

  test('is known by any of its hosts to the embedded default', () => {
    for (const host of hosts) {
      const found = findUpstream(embedded, { host })
      assert.equal(found?.upstream.url, `https://${host}`)
      assert.equal(found?.upstream.credentials.type, 'google')
      assert.equal(found?.isWhole, true)
    }
  })

  test('is not known by hosts that only look like it', () => {
    const others = [
      ...['docker.pkg.dev', 'x.us-docker.pkg.dev', 'us-docker.pkg.dev.evil.example', 'xgcr.io'],
      ...['a.b.gcr.io', 'us-docker.pkg.dev:8443', 'us-python.pkg.dev', 'docker.a.b.rep.pkg.dev'],
    ]
    for (const host of others) assert.equal(findUpstream(embedded, { host }), undefined, host)
  })

  test('is what a configuration file says, where there is one', async (t) => {
    const google = { url: 'https://us-docker.pkg.dev', credentials: { type: 'google' } }
    const loaded = await load(t, [google])
    assert.ok(findUpstream(loaded, { host: 'us-docker.pkg.dev' }))
    assert.equal(findUpstream(loaded, { host: 'europe-docker.pkg.dev' }), undefined)
    assert.deepEqual(imagePatterns(loaded), ['us-docker.pkg.dev'])
  })
})

suite("patterns for kubelets' matchImages", () => {
  test('name each host that has credentials once, and Docker Hub as images do', async (t) => {
    const loaded = await load(t, [
      { prefix: 'a', url: 'http://localhost:30026', credentials: login },
      { prefix: 'b', url: 'http://localhost:30026/', credentials: login },
      { prefix: 'docker.io', url: 'https://registry-1.docker.io', credentials: login },
      { prefix: 'quay.io', url: 'https://quay.io' },
    ])
    assert.deepEqual(imagePatterns(loaded), ['localhost:30026', 'docker.io'])
  })

  test('cover all of Artifact Registry by the embedded default, and nothing that is public', () => {
    const patterns = ['*-docker.pkg.dev', 'docker.*.rep.pkg.dev', 'gcr.io', '*.gcr.io']
    assert.deepEqual(imagePatterns(embedded), patterns)
  })
})
