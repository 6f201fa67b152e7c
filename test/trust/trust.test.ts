import assert from 'node:assert/strict'
import { copyFile, link, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { parse } from 'smol-toml'
import { createAuthority } from '../support/certificates.ts'
import {
  addTo,
  containerdConfig,
  type Entries,
  makeRoot,
  picture,
  trustFor,
} from '../support/node-root.ts'

const configured: Entries = { 'etc/containerd/config.toml': containerdConfig.set }
const ours = 'etc/containerd/certs.d/localhost_30026_/hosts.toml'

const textOf = (root: string, path: string) => readFile(join(root, path), 'utf8')
/** Tables of the parser have no prototype, which is none of our business. */
const plain = (text: string) => JSON.parse(JSON.stringify(parse(text)))
const tableOf = async (root: string, path: string) => plain(await textOf(root, path))

async function authorityFor(t: TestContext) {
  const authority = await createAuthority('trust')
  t.after(() => authority.remove())
  return authority
}

suite('what is written', () => {
  test('containerd learns that localhost is plain HTTP, and nothing is left of it afterwards', async (t) => {
    const root = await makeRoot(t, configured)
    const before = await picture(root)
    const { trust } = trustFor(root)
    const { ready, runtimes } = await trust.apply()
    assert.equal(ready, true)
    assert.deepEqual(
      runtimes[0]?.files.map(({ path }) => path),
      [`/${ours}`],
    )
    assert.deepEqual(await tableOf(root, ours), {
      server: 'http://localhost:30026',
      capabilities: ['push'],
      dial_timeout: '200ms',
      host: {
        'http://localhost:30026': { capabilities: ['pull', 'resolve'], dial_timeout: '200ms' },
      },
    })
    assert.equal((await stat(join(root, ours))).mode & 0o777, 0o644)
    assert.deepEqual(await trust.undo(), [])
    assert.deepEqual(await picture(root), before)
  })

  test('with an authority, every runtime gets its certificate and no key', async (t) => {
    const root = await makeRoot(t, {
      ...configured,
      'usr/bin/dockerd': '',
      'usr/bin/podman': '',
    })
    const authority = await authorityFor(t)
    const pem = await readFile(authority.file, 'utf8')
    const both = join(root, 'both.pem')
    await writeFile(both, `${pem}-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n`)
    const { trust, watched } = trustFor(root, {
      registry: 'registry.example:5000',
      server: 'https://registry.example:5000',
      authority: both,
    })
    const { ready, authorityExpires } = await trust.apply()
    assert.equal(ready, true)
    assert.ok(Date.parse(String(authorityExpires)) > Date.now())
    const directory = 'etc/containerd/certs.d/registry.example_5000_'
    const { ca, host } = await tableOf(root, `${directory}/hosts.toml`)
    assert.deepEqual(
      [ca, host['https://registry.example:5000'].ca],
      ['berth-ca.crt', 'berth-ca.crt'],
    )
    for (const path of [
      `${directory}/berth-ca.crt`,
      'etc/docker/certs.d/registry.example:5000/berth-ca.crt',
      'etc/containers/certs.d/registry.example:5000/berth-ca.crt',
    ]) {
      const text = await textOf(root, path)
      assert.ok(text.includes(pem.trim()), path)
      assert.doesNotMatch(text, /canary/)
    }
    const expiry =
      'berth_trust_authority_expiry_timestamp_seconds{registry="registry.example:5000"}'
    assert.equal(await watched.metric(expiry), Date.parse(String(authorityExpires)) / 1000)
  })

  test('images of localhost come from another address of the node', async (t) => {
    const root = await makeRoot(t, { ...configured, 'usr/bin/podman': '', 'usr/bin/dockerd': '' })
    const { trust } = trustFor(root, { server: 'http://10.0.0.7:30026' })
    const { runtimes } = await trust.apply()
    assert.equal((await tableOf(root, ours))['server'], 'http://10.0.0.7:30026')
    const dropIn = 'etc/containers/registries.conf.d/berth-localhost_30026.conf'
    assert.deepEqual((await tableOf(root, dropIn))['registry'], [
      { prefix: 'localhost:30026', location: '10.0.0.7:30026', insecure: true },
    ])
    const docker = runtimes.find(({ runtime }) => runtime === 'docker')
    assert.equal(docker?.canPull, false)
    assert.match(docker?.problems[0] ?? '', /docker pulls from localhost:30026 itself/)
  })

  test('a mirror asks us first, then whom it asked before, then the registry', async (t) => {
    const theirs = '[host."https://mirror.example"]\ncapabilities = ["pull"]\n'
    const root = await makeRoot(t, {
      ...configured,
      'etc/containerd/certs.d/quay.io/hosts.toml': theirs,
    })
    const before = await picture(root)
    const { trust } = trustFor(root, { mirrors: ['docker.io', 'quay.io'] })
    await trust.apply()
    const docker = await tableOf(root, 'etc/containerd/certs.d/docker.io/hosts.toml')
    assert.equal(docker['server'], 'https://registry-1.docker.io')
    const quay = await tableOf(root, 'etc/containerd/certs.d/quay.io/hosts.toml')
    assert.equal(quay['server'], 'https://quay.io')
    assert.deepEqual(Object.keys(quay['host'] ?? {}), [
      'http://localhost:30026',
      'https://mirror.example',
    ])
    await trust.apply()
    assert.deepEqual(await tableOf(root, 'etc/containerd/certs.d/quay.io/hosts.toml'), quay)
    await trust.undo()
    assert.deepEqual(await picture(root), before)
  })

  test("containerd waits 200 ms for a connection to the node's own address, and 1 s for others", async (t) => {
    const nodeAddresses = ['10.0.0.7', 'fd00::7']
    for (const [server, wanted] of [
      ['http://10.0.0.7:30026', '200ms'],
      ['http://[fd00::7]:30026', '200ms'],
      ['http://127.0.0.1:30026', '200ms'],
      ['http://10.0.0.8:30026', '1s'],
      ['https://registry.example', '1s'],
    ] as const) {
      const root = await makeRoot(t, configured)
      await trustFor(root, { server, mirrors: ['quay.io'], nodeAddresses }).trust.apply()
      for (const file of [ours, 'etc/containerd/certs.d/quay.io/hosts.toml']) {
        const { host } = await tableOf(root, file)
        assert.equal(host[server].dial_timeout, wanted, `${server} in ${file}`)
      }
    }
  })

  test('the directory that containerd would take is the one that is written to', async (t) => {
    const theirs = 'etc/containerd/certs.d/localhost:30026/hosts.toml'
    const root = await makeRoot(t, { ...configured, [theirs]: 'server = "http://elsewhere"\n' })
    const before = await picture(root)
    const { trust } = trustFor(root)
    await trust.apply()
    assert.equal((await tableOf(root, theirs))['server'], 'http://localhost:30026')
    await assert.rejects(stat(join(root, ours)), /ENOENT/)
    await trust.undo()
    assert.deepEqual(await picture(root), before)
  })
})

suite('what changes on the node', () => {
  test('what somebody removed is there again, and still goes with its directory', async (t) => {
    const root = await makeRoot(t, configured)
    const before = await picture(root)
    const { trust } = trustFor(root)
    await trust.apply()
    await rm(join(root, ours))
    await trust.apply()
    assert.equal((await tableOf(root, ours))['server'], 'http://localhost:30026')
    await rm(join(root, 'etc/containerd/certs.d'), { recursive: true })
    await trust.apply()
    assert.equal((await tableOf(root, ours))['server'], 'http://localhost:30026')
    await trust.undo()
    assert.deepEqual(await picture(root), before)
  })

  test('nothing is touched when nothing has to change', async (t) => {
    const root = await makeRoot(t, { ...configured, 'usr/bin/podman': '' })
    await trustFor(root, { mirrors: ['quay.io'] }).trust.apply()
    const before = await picture(root)
    const { trust, watched } = trustFor(root, { mirrors: ['quay.io'] })
    for (let times = 0; times < 3; times += 1) await trust.apply()
    assert.deepEqual(await picture(root), before)
    assert.deepEqual(watched.logs(), [])
  })

  test('another authority takes the place of the first, and a broken file does not', async (t) => {
    const root = await makeRoot(t, configured)
    const [first, second] = [await authorityFor(t), await authorityFor(t)]
    const file = join(root, 'ca.pem')
    const placed = 'etc/containerd/certs.d/localhost_30026_/berth-ca.crt'
    const { trust, watched } = trustFor(root, {
      server: 'https://localhost:30026',
      authority: file,
    })
    const early = await trust.apply()
    assert.equal(early.ready, false)
    assert.match(early.problems[0] ?? '', /ENOENT/)
    await copyFile(first.file, file)
    assert.equal((await trust.apply()).ready, true)
    await writeFile(file, '-----BEGIN CERTIFICATE-----\nhalf')
    const broken = await trust.apply()
    assert.equal(broken.ready, true)
    assert.match(
      broken.problems[0] ?? '',
      /no PEM certificate.*its last valid content remains in use/,
    )
    assert.ok((await textOf(root, placed)).includes((await readFile(first.file, 'utf8')).trim()))
    await copyFile(second.file, file)
    assert.deepEqual((await trust.apply()).problems, [])
    assert.ok((await textOf(root, placed)).includes((await readFile(second.file, 'utf8')).trim()))
    const changes = watched.logs().flatMap(({ change }) => (change === undefined ? [] : [change]))
    assert.deepEqual(changes, ['written', 'written', 'renewed'])
  })

  test('an edited file stays, also after undo, and is logged once', async (t) => {
    const root = await makeRoot(t, configured)
    const { trust, watched } = trustFor(root)
    await trust.apply()
    const edited = (await textOf(root, ours)).replace('http://localhost', 'http://elsewhere')
    await writeFile(join(root, ours), edited)
    for (let times = 0; times < 3; times += 1) {
      const { ready, runtimes } = await trust.apply()
      assert.equal(ready, false)
      assert.match(runtimes[0]?.problems[0] ?? '', /hosts\.toml: the file was edited/)
    }
    assert.equal(await textOf(root, ours), edited)
    assert.equal(watched.logs().filter(({ msg }) => msg === 'problem').length, 1)
    assert.match((await trust.undo())[0] ?? '', /the file was edited/)
    assert.equal(await textOf(root, ours), edited)
  })

  test("a file that replaced Berth's stays until it is removed", async (t) => {
    const root = await makeRoot(t, configured)
    const { trust } = trustFor(root)
    await trust.apply()
    await writeFile(join(root, ours), 'server = "http://elsewhere"\n')
    const { runtimes } = await trust.apply()
    assert.match(runtimes[0]?.problems[0] ?? '', /the file was replaced by another program/)
    assert.equal(await textOf(root, ours), 'server = "http://elsewhere"\n')
    await rm(join(root, ours))
    assert.equal((await trust.apply()).ready, true)
  })

  test('a file that replaced ours, which replaced another, wins after a start as well', async (t) => {
    const root = await makeRoot(t, { ...configured, [ours]: 'server = "http://first"\n' })
    await trustFor(root).trust.apply()
    await writeFile(join(root, 'new'), 'server = "http://second"\n')
    await rename(join(root, 'new'), join(root, ours))
    const { runtimes } = await trustFor(root).trust.apply()
    assert.match(runtimes[0]?.problems[0] ?? '', /the file was replaced by another program/)
    assert.equal(await textOf(root, ours), 'server = "http://second"\n')
  })

  test('a registry that is no longer asked for is undone, and its directories with the last', async (t) => {
    const root = await makeRoot(t, { ...configured, 'usr/bin/podman': '' })
    const before = await picture(root)
    await trustFor(root, { mirrors: ['quay.io'] }).trust.apply()
    const { trust } = trustFor(root, { registry: 'localhost:5000' })
    await trust.apply()
    const names = Object.keys(await picture(root)).filter((name) =>
      /hosts\.toml|\.conf$/.test(name),
    )
    assert.deepEqual(names, [
      'etc/containerd/certs.d/localhost_5000_/hosts.toml',
      'etc/containers/registries.conf.d/berth-localhost_5000.conf',
    ])
    await trust.undo()
    assert.deepEqual(await picture(root), before)
  })

  test('a configuration that is only half written takes nothing away', async (t) => {
    const root = await makeRoot(t, configured)
    const { trust } = trustFor(root)
    await trust.apply()
    for (const half of ['', 'version = 2\n', 'version = 2\n[plugins."io.cont']) {
      await writeFile(join(root, 'etc/containerd/config.toml'), half)
      await trust.apply()
      assert.equal((await tableOf(root, ours))['server'], 'http://localhost:30026')
    }
  })

  test("two owners on a node do not touch each other's files", async (t) => {
    const root = await makeRoot(t, configured)
    const before = await picture(root)
    const one = trustFor(root, { owner: 'a/trust', registry: 'localhost:1' }).trust
    const two = trustFor(root, { owner: 'b/trust', registry: 'localhost:2' }).trust
    const rival = trustFor(root, { owner: 'c/trust', registry: 'localhost:1' }).trust
    await one.apply()
    await two.apply()
    assert.match(
      (await rival.apply()).runtimes[0]?.problems[0] ?? '',
      /another berth trust \(a\/trust\) wrote this file/,
    )
    await rival.undo()
    await two.undo()
    const file = 'etc/containerd/certs.d/localhost_1_/hosts.toml'
    assert.equal((await tableOf(root, file))['server'], 'http://localhost:1')
    await trustFor(root).trust.undo()
    assert.deepEqual(await picture(root), before)
  })
})

suite('what is in the way', () => {
  test('a link to a directory leads where it leads on the node, and never out of it', async (t) => {
    for (const link of ['/data/certs', '/srv/../../../data/certs', '../../../../data/certs']) {
      const root = await makeRoot(t, {
        ...configured,
        'etc/containerd/certs.d': { link },
        'data/certs': null,
      })
      const before = await picture(root)
      const { trust } = trustFor(root)
      assert.equal((await trust.apply()).ready, true)
      assert.ok(await textOf(root, 'data/certs/localhost_30026_/hosts.toml'))
      await trust.undo()
      assert.deepEqual(await picture(root), before)
    }
  })

  test('a link or a directory in our place is set aside and comes back', async (t) => {
    for (const entry of [{ link: '/etc/passwd' }, { link: '/nowhere' }, null]) {
      const root = await makeRoot(t, {
        ...configured,
        'etc/passwd': 'canary',
        [ours]: entry,
      })
      if (entry === null) await addTo(root, { [`${ours}/inside`]: 'kept' })
      const before = await picture(root)
      const { trust } = trustFor(root)
      assert.equal((await trust.apply()).ready, true)
      assert.equal(await textOf(root, 'etc/passwd'), 'canary')
      assert.equal((await tableOf(root, ours))['server'], 'http://localhost:30026')
      await trust.undo()
      assert.deepEqual(await picture(root), before)
    }
  })

  test('loops of links and a file in place of a directory are problems, and nothing is written', async (t) => {
    for (const entry of [{ link: '/etc/containerd/certs.d' }, 'a file']) {
      const root = await makeRoot(t, { ...configured, 'etc/containerd/certs.d': entry })
      const before = await picture(root)
      const { trust } = trustFor(root)
      const { ready, runtimes } = await trust.apply()
      assert.equal(ready, false)
      assert.match(runtimes[0]?.problems[0] ?? '', /form a loop|EEXIST|ENOTDIR/)
      assert.deepEqual(await picture(root), before)
      await trust.undo()
      assert.deepEqual(await picture(root), before)
    }
  })

  test('what a kill left behind is removed, and a takeover that it cut short goes on', async (t) => {
    const root = await makeRoot(t, { ...configured, [ours]: 'server = "http://first"\n' })
    const before = await picture(root)
    await link(join(root, ours), join(root, `${ours}.before-berth-trust`))
    await writeFile(join(root, ours, '../.hosts.toml.x.berth-trust-new'), 'half')
    const { trust } = trustFor(root)
    assert.equal((await trust.apply()).ready, true)
    await trust.undo()
    assert.deepEqual(await picture(root), before)
  })
})

suite('where nothing can be written', () => {
  test('a node without a runtime is not ready, and says so', async (t) => {
    const root = await makeRoot(t, {})
    const { ready, problems } = await trustFor(root).trust.apply()
    assert.equal(ready, false)
    assert.match(problems[0] ?? '', /no container runtime was found/)
  })

  test('without config_path plain HTTP on localhost needs nothing, all else gets the exact lines', async (t) => {
    const root = await makeRoot(t, { 'etc/containerd/config.toml': containerdConfig.none })
    const before = await picture(root)
    const needless = await trustFor(root).trust.apply()
    assert.equal(needless.ready, true)
    assert.match(needless.runtimes[0]?.notes[0] ?? '', /uses plain HTTP for localhost/)
    const { trust } = trustFor(root, { mirrors: ['quay.io'] })
    const { ready, runtimes } = await trust.apply()
    assert.equal(ready, false)
    const problems = runtimes[0]?.problems[0] ?? ''
    assert.match(problems, /add these lines to \/etc\/containerd\/config\.toml and restart it once/)
    const lines = problems.slice(problems.indexOf('\n'))
    assert.deepEqual(plain(lines).plugins, {
      'io.containerd.grpc.v1.cri': { registry: { config_path: '/etc/containerd/certs.d' } },
    })
    const files = runtimes[0]?.files.map(({ path }) => path) ?? []
    assert.ok(
      files.includes('/etc/containerd/certs.d/quay.io/hosts.toml'),
      'it may be 2.2 or later',
    )
    await trust.undo()
    assert.deepEqual(await picture(root), before)
  })

  test('docker is told what to add for plain HTTP elsewhere', async (t) => {
    const root = await makeRoot(t, { 'usr/bin/dockerd': '' })
    const { runtimes } = await trustFor(root, { registry: 'registry.example:80' }).trust.apply()
    assert.match(runtimes[0]?.problems[0] ?? '', /"insecure-registries": \["registry.example:80"\]/)
  })

  test('a containerd with a disabled CRI plugin belongs to Docker and does not count', async (t) => {
    const root = await makeRoot(t, {
      'etc/containerd/config.toml':
        'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n',
    })
    const { ready, runtimes } = await trustFor(root).trust.apply()
    assert.equal(ready, false)
    assert.match(runtimes[0]?.notes[0] ?? '', /CRI plugin is disabled/)
  })
})
