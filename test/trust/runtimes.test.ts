import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { searchedDirectories, writeDirectories } from '../../src/trust/search-path.ts'
import { createRooted, findRuntimes, type Runtime } from '../../src/trust/trust.ts'
import { type Entries, makeRoot } from '../support/node-root.ts'

const config = 'etc/containerd/config.toml'

async function runtimesOf(t: TestContext, entries: Entries, version?: string) {
  const root = await makeRoot(t, entries)
  return findRuntimes(createRooted(root), async () => version)
}

/** What is found of the one runtime there, whose socket answers if there is a version. */
async function containerdOf(t: TestContext, entries: Entries, version?: string) {
  const socket: Entries = version === undefined ? {} : { 'run/containerd/containerd.sock': '' }
  const [runtime] = await runtimesOf(t, { ...entries, ...socket }, version)
  assert.equal(runtime?.kind, 'containerd')
  return runtime as Extract<Runtime, { kind: 'containerd' }>
}

suite('config_path is found', { concurrency: true }, () => {
  const spellings = {
    'of format 1': 'plugins.cri.registry',
    'of format 1, quoted': "'plugins'.\"cri\".'registry'",
    'of format 2': 'plugins."io.containerd.grpc.v1.cri".registry',
    'of format 3': "plugins.'io.containerd.cri.v1.images'.registry",
    'of format 3, indented by containerd itself': "plugins.'io.containerd.cri.v1.images'.registry",
  }
  for (const [name, table] of Object.entries(spellings))
    test(`in the spelling ${name}`, async (t) => {
      const { path } = await containerdOf(t, {
        [config]: `version = 2\n    [${table}]\n      config_path = '/etc/cc'\n`,
      })
      assert.equal(path, '/etc/cc')
    })

  test('as an inline table', async (t) => {
    const text = 'plugins = { "io.containerd.grpc.v1.cri" = { registry = { config_path = "/x" } } }'
    assert.equal((await containerdOf(t, { [config]: text })).path, '/x')
  })

  test('as a list, which is written to where each version looks', async (t) => {
    const toml = '[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/a:/b"\n'
    const { path = '' } = await containerdOf(t, { [config]: toml })
    assert.equal(path, '/a:/b')
    for (const version of ['1.7.0', '2.0.5']) {
      assert.deepEqual(writeDirectories({ path, version }), ['/a'])
      assert.deepEqual(searchedDirectories({ path, version, pullsByCri: false }), ['/a', '/b'])
    }
    for (const version of ['2.1.0', '2.4.2', undefined])
      assert.deepEqual(writeDirectories({ path, version }), ['/a', '/a:/b'])
    const version = '2.2.0'
    assert.deepEqual(searchedDirectories({ path, version, pullsByCri: false }), ['/a:/b'])
    assert.deepEqual(searchedDirectories({ path, version, pullsByCri: true }), ['/a', '/b'])
  })

  test('in what is imported, by pattern and relative path, the last one wins', async (t) => {
    const registry = (path: string) =>
      `[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "${path}"\n`
    const { path } = await containerdOf(t, {
      [config]: `imports = ["conf.d/*.toml", "/etc/other.toml"]\n${registry('/main')}`,
      'etc/containerd/conf.d/10-a.toml': registry('/first'),
      'etc/containerd/conf.d/20-b.toml': `imports = ["../config.toml"]\n${registry('/second')}`,
      'etc/containerd/conf.d/30-c.conf': registry('/no-toml'),
      'etc/other.toml': 'version = 2\n',
    })
    assert.equal(path, '/second')
  })

  test('k3s and RKE2 have their own', async (t) => {
    const toml = (name: string) =>
      `[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "/var/lib/rancher/${name}/agent/etc/containerd/certs.d"\n`
    const found = await runtimesOf(t, {
      'var/lib/rancher/k3s/agent/etc/containerd/config.toml': toml('k3s'),
      'var/lib/rancher/rke2/agent/etc/containerd/config.toml': toml('rke2'),
    })
    assert.deepEqual(
      found.map((runtime) => [runtime.name, runtime.kind === 'containerd' && runtime.path]),
      [
        ['k3s', '/var/lib/rancher/k3s/agent/etc/containerd/certs.d'],
        ['rke2', '/var/lib/rancher/rke2/agent/etc/containerd/certs.d'],
      ],
    )
  })
})

suite('without config_path', { concurrency: true }, () => {
  const usual = '/etc/containerd/certs.d:/etc/docker/certs.d'

  test('containerd looks in certs.d since 2.2, and not before', async (t) => {
    const asked = ['1.6.20', '1.7.30', '2.0.0', '2.1.9', '2.2.0', '2.4.2', '3.0.0', '10.0.0']
    const looks = asked.map(async (version) => {
      const { path } = await containerdOf(t, { [config]: 'version = 2\n' }, version)
      return path === usual
    })
    assert.deepEqual(await Promise.all(looks), [false, false, false, false, true, true, true, true])
  })

  test('it does so without a configuration, and for one of format 4', async (t) => {
    assert.equal((await containerdOf(t, {}, '2.3.0')).path, usual)
    assert.equal((await containerdOf(t, { [config]: 'version = 4\n' })).path, usual)
    assert.equal((await containerdOf(t, { 'usr/bin/containerd': '' })).path, undefined)
  })

  test('mirrors in the configuration switch that off', async (t) => {
    const mirrors =
      '[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]\nendpoint = ["https://m"]\n'
    const found = await containerdOf(t, { [config]: mirrors }, '2.3.0')
    assert.equal(found.path, undefined)
    assert.equal(found.config.hasMirrors, true)
  })
})

suite('what cannot be understood', { concurrency: true }, () => {
  test('is reported with its name', async (t) => {
    const broken = await containerdOf(t, { [config]: 'version = = 2' })
    assert.match(broken.problem ?? '', /^\/etc\/containerd\/config\.toml is not valid TOML: /)
    for (const text of ['relative', '$' + '{SNAP_DATA}/certs.d']) {
      const { problem, path } = await containerdOf(t, {
        [config]: `[plugins.cri.registry]\nconfig_path = "${text}"\n`,
      })
      assert.equal(path, undefined)
      assert.match(problem ?? '', /is not an absolute path/)
    }
  })

  test('tables of other types are passed over', async (t) => {
    for (const text of ['plugins = 1', 'plugins.cri = []', 'imports = "x"', 'version = "two"']) {
      const { path, problem } = await containerdOf(t, { [config]: `${text}\n` })
      assert.deepEqual([path, problem], [undefined, undefined], text)
    }
  })
})

test('docker, podman and cri-o are found by their traces', async (t) => {
  const namesOf = async (entries: Entries) => (await runtimesOf(t, entries)).map(({ name }) => name)
  assert.deepEqual(await namesOf({ 'usr/bin/dockerd': '', 'usr/bin/podman': '' }), [
    'docker',
    'podman',
  ])
  assert.deepEqual(await namesOf({ 'etc/crio/crio.conf': '', 'usr/bin/podman': '' }), ['cri-o'])
  assert.deepEqual(await namesOf({ 'etc/docker/certs.d': null, 'etc/containers': null }), [])
})
