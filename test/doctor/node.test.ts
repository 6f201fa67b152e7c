import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { findProxyMode } from '../../src/doctor/proxy-mode.ts'
import { createRooted } from '../../src/trust/trust.ts'
import { createAuthority } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { containerdConfig, type Entries, makeRoot } from '../support/node-root.ts'
import { type Answering, sendJson, startWebServer } from '../support/web-server.ts'

type Verdict = {
  readonly ok: boolean
  readonly exposure?: string
  readonly findings: readonly {
    readonly step: string
    readonly outcome: string
    readonly message: string
    readonly advice?: string
    readonly requests: readonly string[]
  }[]
}

const registry: Answering = (_, response) => {
  response.setHeader('docker-distribution-api-version', 'registry/2.0')
  sendJson(response, {})
}
const stranger: Answering = (_, response) => sendJson(response, { hello: 'you' }, 404)

const configured: Entries = {
  'etc/containerd/config.toml': containerdConfig.set,
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost ip6-localhost\n',
}
const unconfigured: Entries = {
  ...configured,
  'etc/containerd/config.toml': containerdConfig.none,
}

let nextPort = randomInt(11_000, 19_000)

/** Nobody else listens there, on any address: systems give out higher ones. */
function quietPort(): number {
  nextPort += 1
  return nextPort
}

async function listenAt(t: TestContext, host: string, answering = registry) {
  const server = await startWebServer(answering, { host, port: quietPort() })
  t.after(server.close)
  return server
}

async function examine(root: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = await runCommand([
    ...['doctor', 'node', '--root', root, '--node-ip', '127.0.0.5', '-o', 'json', ...args],
  ])
  assert.equal(stderr, '')
  const verdict = JSON.parse(stdout) as Verdict
  assert.equal(status, verdict.ok ? 0 : 1)
  const of = (step: string) => verdict.findings.filter((finding) => finding.step === step)
  return { ...verdict, of, pull: of('pull')[0] }
}

suite('berth doctor node', { concurrency: true }, () => {
  test('what answers on 127.0.0.1 can be pulled from', async (t) => {
    const { port } = await listenAt(t, '127.0.0.1')
    const root = await makeRoot(t, unconfigured)
    const found = await examine(root, '--registry', `localhost:${port}`)
    assert.equal(found.ok, true)
    assert.equal(found.exposure, undefined)
    assert.match(found.pull?.message ?? '', new RegExp(`from http://127.0.0.1:${port}$`))
    assert.deepEqual(
      found.of('address').map(({ outcome }) => outcome),
      ['ok', 'skipped', 'skipped'],
    )
  })

  test('it is told to people in sentences', async (t) => {
    const root = await makeRoot(t, configured)
    const args = ['--root', root, '--registry', `localhost:${quietPort()}`]
    const { status, stdout } = await runCommand(['doctor', 'node', ...args])
    assert.equal(status, 1)
    assert.match(stdout, /^ {2}- {5}address {8}http:\/\/127\.0\.0\.1:\d+: connection refused$/m)
    assert.match(stdout, /^ {2}FAIL {2}pull/m)
    assert.match(stdout, /\nPods on this node cannot pull\. Set exposure\.mode: mirror\.\n$/)
  })

  test('only the node answers: a runtime that can be led is led there (K169)', async (t) => {
    const { port } = await listenAt(t, '127.0.0.5')
    const root = await makeRoot(t, configured)
    const name = ['--registry', `localhost:${port}`]
    const before = await examine(root, ...name)
    assert.equal(before.ok, false)
    assert.equal(before.exposure, 'mirror')
    const lead = ['--once', '--server', `http://127.0.0.5:${port}`]
    assert.equal((await runCommand(['trust', '--root', root, ...name, ...lead])).status, 0)
    const after = await examine(root, ...name)
    assert.equal(after.ok, true)
    assert.match(after.of('runtime')[0]?.message ?? '', /hosts\.toml/)
    const other = await makeRoot(t, unconfigured)
    assert.equal((await examine(other, ...name)).exposure, 'hostNetwork')
  })

  test('a hosts.toml without dial_timeout for an address of the node is found', async (t) => {
    const { port } = await listenAt(t, '127.0.0.1')
    const directory = 'etc/containerd/certs.d'
    const root = await makeRoot(t, {
      ...configured,
      [`${directory}/docker.io/hosts.toml`]: `[host."http://127.0.0.5:${port}"]\n`,
      [`${directory}/quay.io/hosts.toml`]: `[host."http://localhost:${port}"]\ndial_timeout = "1s"\n`,
      [`${directory}/ghcr.io/hosts.toml`]: '[host."https://mirror.example"]\n',
    })
    const found = await examine(root, '--registry', `localhost:${port}`)
    assert.equal(found.ok, true)
    const [, slow, ...more] = found.of('runtime')
    assert.deepEqual(more, [])
    assert.match(slow?.message ?? '', /docker\.io\/hosts\.toml has no dial_timeout for http:/)
    assert.match(slow?.advice ?? '', /dial_timeout = "200ms"/)
  })

  test("docker's registry-mirrors: one that asks for a password is skipped by docker, and said so", async (t) => {
    const open = await listenAt(t, '127.0.0.1')
    const closed = await listenAt(t, '127.0.0.1', (_, response) => {
      response.setHeader('www-authenticate', 'Basic realm="Berth"')
      sendJson(response, {}, 401)
    })
    const mirrors = [open, closed].map(({ port }) => `http://localhost:${port}`)
    const root = await makeRoot(t, {
      ...configured,
      'etc/docker/daemon.json': JSON.stringify({
        'registry-mirrors': [...mirrors, `http://localhost:${quietPort()}`],
      }),
    })
    const found = await examine(root, '--registry', `localhost:${open.port}`)
    const said = found
      .of('runtime')
      .filter(({ message }) => /Docker Hub|registry-mirrors/.test(message))
    assert.deepEqual(
      said.map(({ outcome }) => outcome),
      ['ok', 'skipped', 'skipped'],
    )
    assert.match(said[1]?.message ?? '', /docker skips .*a registry answers \(401\)/)
    assert.match(said[1]?.advice ?? '', /shows a mirror no password.*mirrors: \[\{ listen/)
    assert.match(said[2]?.message ?? '', /connection refused/)
    assert.equal(found.ok, true)
  })

  test('only ::1 answers: it depends on what localhost is (K169)', async (t) => {
    const { port } = await listenAt(t, '::1')
    const name = ['--registry', `localhost:${port}`]
    const both = await examine(await makeRoot(t, configured), ...name)
    assert.equal(both.ok, true)
    assert.match(both.pull?.message ?? '', /from http:\/\/\[::1\]:/)
    const hosts = { 'etc/hosts': '127.0.0.1\tlocalhost # the only one\n' }
    const one = await examine(await makeRoot(t, { ...configured, ...hosts }), ...name)
    assert.equal(one.ok, false)
  })

  test('a stranger on ::1 is in the way of what listens on 127.0.0.1 (K169)', async (t) => {
    const six = await listenAt(t, '::1', stranger)
    const root = await makeRoot(t, configured)
    const found = await examine(root, '--registry', `localhost:${six.port}`)
    assert.equal(found.ok, false)
    assert.match(found.pull?.advice ?? '', /another program has the port/)
    assert.equal(found.exposure, undefined)
  })

  test('who takes the connection and says nothing is given up', async (t) => {
    const sockets = new Set<{ destroy(): void }>()
    const server = createServer((socket) => void sockets.add(socket.on('error', () => {})))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : 0
    const root = await makeRoot(t, { ...configured, 'etc/hosts': '127.0.0.1 localhost\n' })
    const found = await examine(root, '--registry', `localhost:${port}`)
    assert.equal(found.ok, false)
    assert.match(found.of('address')[0]?.message ?? '', /no answer within 5 seconds/)
  })

  test('a certificate is believed by those who were told of its authority', async (t) => {
    const authority = await createAuthority('node')
    t.after(() => authority.remove())
    const tls = await authority.issue(['DNS:registry.example'])
    const server = await startWebServer(registry, { tls })
    t.after(server.close)
    const hosts = { 'etc/hosts': '127.0.0.1 localhost registry.example\n' }
    const root = await makeRoot(t, { ...configured, ...hosts })
    const name = ['--registry', `registry.example:${server.port}`]
    const before = await examine(root, ...name)
    assert.equal(before.ok, false)
    assert.match(before.pull?.advice ?? '', /berth trust on this node, with --ca/)
    assert.equal(before.exposure, undefined)
    const ca = ['--once', '--ca', authority.file]
    assert.equal((await runCommand(['trust', '--root', root, ...name, ...ca])).status, 0)
    assert.equal((await examine(root, ...name)).ok, true)
  })

  test('podman does not speak plain HTTP until it is told to', async (t) => {
    const { port } = await listenAt(t, '127.0.0.1')
    const root = await makeRoot(t, { 'usr/bin/podman': '', 'etc/hosts': '127.0.0.1 localhost\n' })
    const name = ['--registry', `localhost:${port}`]
    const before = await examine(root, ...name)
    assert.equal(before.ok, false)
    assert.match(before.pull?.advice ?? '', /TLS and plain HTTP do not fit together/)
    assert.equal((await runCommand(['trust', '--root', root, ...name, '--once'])).status, 0)
    assert.equal((await examine(root, ...name)).ok, true)
  })

  test("another runtime's trouble is told, and does not count", async (t) => {
    const { port } = await listenAt(t, '127.0.0.1')
    const root = await makeRoot(t, { ...configured, 'usr/bin/podman': '' })
    const found = await examine(root, '--registry', `localhost:${port}`)
    assert.equal(found.ok, true)
    assert.deepEqual(
      found.of('pull').map(({ outcome }) => outcome),
      ['ok', 'skipped'],
    )
  })

  test('without the root of a node it goes by what localhost answers', async (t) => {
    const { port } = await listenAt(t, '127.0.0.1')
    const root = await makeRoot(t, {})
    const found = await examine(root, '--registry', `localhost:${port}`)
    assert.equal(found.ok, true)
    assert.match(found.of('runtime')[0]?.message ?? '', /is the root of the node at --root\?/)
  })

  test('a name that is no host is refused', async () => {
    const { status, stderr } = await runCommand(['doctor', 'node', '--registry', 'a/b'])
    assert.equal(status, 1)
    assert.equal(stderr, 'berth: --registry a/b: a host, with a port or without\n')
  })
})

suite('how a node leads to services', { concurrency: true }, () => {
  test('kube-proxy says it', async (t) => {
    const root = createRooted(await makeRoot(t, { 'sys/class/net/kube-ipvs0': null }))
    for (const mode of ['iptables', 'nftables', 'ipvs']) {
      const { url } = await listenAt(t, '127.0.0.1', (_, response) => void response.end(mode))
      assert.equal((await findProxyMode(root, `${url}/proxyMode`)).mode, mode)
    }
  })

  test('what is left behind tells it where kube-proxy does not', async (t) => {
    const { url } = await listenAt(t, '127.0.0.1', stranger)
    const root = await makeRoot(t, { 'sys/class/net/kube-ipvs0': null })
    assert.equal((await findProxyMode(createRooted(root), url)).mode, 'ipvs')
    const cilium = await makeRoot(t, { 'sys/class/net/cilium_host': null })
    const { mode } = await findProxyMode(createRooted(cilium), url)
    assert.ok(
      ['cilium', 'iptables', 'nftables'].includes(mode),
      'rules may be those of this machine',
    )
  })

  test('route_localnet counts on any interface', async (t) => {
    const conf = 'proc/sys/net/ipv4/conf'
    const off = { [`${conf}/all/route_localnet`]: '0\n', [`${conf}/eth0/route_localnet`]: '0\n' }
    const port = quietPort()
    const look = async (entries: Entries) => {
      const root = await makeRoot(t, { ...configured, ...entries })
      return (await examine(root, '--registry', `localhost:${port}`)).of('services')[0]?.message
    }
    assert.match((await look(off)) ?? '', /route_localnet is off$/)
    const on = { ...off, [join(conf, 'eth0/route_localnet')]: '1\n' }
    assert.match((await look(on)) ?? '', /route_localnet is on$/)
  })
})
