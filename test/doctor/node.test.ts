import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { suite, type TestContext, test } from 'node:test'
import { findProxyMode } from '../../src/doctor/proxy-mode.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
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
const notRegistry: Answering = (_, response) => void response.writeHead(404).end('{}')

const configured: Entries = {
  'etc/containerd/config.toml': containerdConfig.set,
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost ip6-localhost\n',
}
const unconfigured: Entries = {
  ...configured,
  'etc/containerd/config.toml': containerdConfig.none,
}

let nextPort = randomInt(11_000, 19_000)

/** A port that is free on every address: systems assign higher ports. */
function freePort(): number {
  nextPort += 1
  return nextPort
}

async function listenAt(t: TestContext, host: string, answering = registry) {
  const server = await startWebServer(answering, { host, port: freePort() })
  t.after(server.close)
  return server
}

async function check(root: string, ...args: readonly string[]) {
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
  test('a registry on 127.0.0.1 can be pulled from', async (t) => {
    const { port } = await listenAt(t, '127.0.0.1')
    const root = await makeRoot(t, unconfigured)
    const found = await check(root, '--registry', `localhost:${port}`)
    assert.equal(found.ok, true)
    assert.equal(found.exposure, undefined)
    assert.match(found.pull?.message ?? '', new RegExp(`from http://127.0.0.1:${port}$`))
    assert.deepEqual(
      found.of('address').map(({ outcome }) => outcome),
      ['ok', 'skipped', 'skipped'],
    )
  })

  test('the text output ends with a verdict', async (t) => {
    const root = await makeRoot(t, configured)
    const args = ['--root', root, '--registry', `localhost:${freePort()}`]
    const { status, stdout } = await runCommand(['doctor', 'node', ...args])
    assert.equal(status, 1)
    assert.match(stdout, /^ {2}- {5}address {8}http:\/\/127\.0\.0\.1:\d+: connection refused$/m)
    assert.match(stdout, /^ {2}FAIL {2}pull/m)
    assert.match(stdout, /\nPods on this node cannot pull\. Set exposure\.mode: mirror\.\n$/)
  })

  test("only the node's address answers: a runtime that reads hosts.toml can use it (K169)", async (t) => {
    const { port } = await listenAt(t, '127.0.0.5')
    const root = await makeRoot(t, configured)
    const name = ['--registry', `localhost:${port}`]
    const before = await check(root, ...name)
    assert.equal(before.ok, false)
    assert.equal(before.exposure, 'mirror')
    const redirect = ['--once', '--server', `http://127.0.0.5:${port}`]
    assert.equal((await runCommand(['trust', '--root', root, ...name, ...redirect])).status, 0)
    const after = await check(root, ...name)
    assert.equal(after.ok, true)
    assert.match(after.of('runtime')[0]?.message ?? '', /hosts\.toml/)
    const other = await makeRoot(t, unconfigured)
    assert.equal((await check(other, ...name)).exposure, 'hostNetwork')
  })

  test('a hosts.toml without dial_timeout for an address of the node is reported', async (t) => {
    const { port } = await listenAt(t, '127.0.0.1')
    const directory = 'etc/containerd/certs.d'
    const root = await makeRoot(t, {
      ...configured,
      [`${directory}/docker.io/hosts.toml`]: `[host."http://127.0.0.5:${port}"]\n`,
      [`${directory}/quay.io/hosts.toml`]: `[host."http://localhost:${port}"]\ndial_timeout = "1s"\n`,
      [`${directory}/ghcr.io/hosts.toml`]: '[host."https://mirror.example"]\n',
    })
    const found = await check(root, '--registry', `localhost:${port}`)
    assert.equal(found.ok, true)
    const [, slow, ...more] = found.of('runtime')
    assert.deepEqual(more, [])
    assert.match(slow?.message ?? '', /docker\.io\/hosts\.toml has no dial_timeout for http:/)
    assert.match(slow?.advice ?? '', /dial_timeout = "200ms"/)
  })

  test('a registry mirror of docker that requires a password is reported as skipped', async (t) => {
    const open = await listenAt(t, '127.0.0.1')
    const closed = await listenAt(t, '127.0.0.1', (_, response) => {
      response.setHeader('www-authenticate', 'Basic realm="Berth"')
      sendJson(response, {}, 401)
    })
    const mirrors = [open, closed].map(({ port }) => `http://localhost:${port}`)
    const root = await makeRoot(t, {
      ...configured,
      'etc/docker/daemon.json': JSON.stringify({
        'registry-mirrors': [...mirrors, `http://localhost:${freePort()}`],
      }),
    })
    const found = await check(root, '--registry', `localhost:${open.port}`)
    const mirrorFindings = found
      .of('runtime')
      .filter(({ message }) => /Docker Hub|registry mirror/.test(message))
    assert.deepEqual(
      mirrorFindings.map(({ outcome }) => outcome),
      ['ok', 'skipped', 'skipped'],
    )
    assert.match(mirrorFindings[1]?.message ?? '', /docker skips .*a registry answered \(401\)/)
    assert.match(
      mirrorFindings[1]?.advice ?? '',
      /sends no password to a mirror.*mirrors: \[\{ listen/,
    )
    assert.match(mirrorFindings[2]?.message ?? '', /connection refused/)
    assert.equal(found.ok, true)
  })

  test('only ::1 answers: the result depends on the addresses of localhost (K169)', async (t) => {
    const { port } = await listenAt(t, '::1')
    const name = ['--registry', `localhost:${port}`]
    const both = await check(await makeRoot(t, configured), ...name)
    assert.equal(both.ok, true)
    assert.match(both.pull?.message ?? '', /from http:\/\/\[::1\]:/)
    const hosts = { 'etc/hosts': '127.0.0.1\tlocalhost # the only one\n' }
    const one = await check(await makeRoot(t, { ...configured, ...hosts }), ...name)
    assert.equal(one.ok, false)
  })

  test('another program on ::1 hides the registry on 127.0.0.1 (K169)', async (t) => {
    const six = await listenAt(t, '::1', notRegistry)
    const root = await makeRoot(t, configured)
    const found = await check(root, '--registry', `localhost:${six.port}`)
    assert.equal(found.ok, false)
    assert.match(found.pull?.advice ?? '', /another program listens on this port/)
    assert.equal(found.exposure, undefined)
  })

  test('a server that accepts the connection and does not answer is a timeout', async (t) => {
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
    const found = await check(root, '--registry', `localhost:${port}`)
    assert.equal(found.ok, false)
    assert.match(found.of('address')[0]?.message ?? '', /no answer within 5 seconds/)
  })

  test('a certificate is trusted after berth trust --ca', async (t) => {
    const authority = await createAuthority('node')
    t.after(() => authority.remove())
    const tls = await authority.issue(['DNS:registry.example'])
    const server = await startWebServer(registry, { tls })
    t.after(server.close)
    const hosts = { 'etc/hosts': '127.0.0.1 localhost registry.example\n' }
    const root = await makeRoot(t, { ...configured, ...hosts })
    const name = ['--registry', `registry.example:${server.port}`]
    const before = await check(root, ...name)
    assert.equal(before.ok, false)
    assert.match(before.pull?.advice ?? '', /run berth trust --ca FILE on this node/)
    assert.equal(before.exposure, undefined)
    const ca = ['--once', '--ca', authority.file]
    assert.equal((await runCommand(['trust', '--root', root, ...name, ...ca])).status, 0)
    assert.equal((await check(root, ...name)).ok, true)
  })

  test('podman does not use plain HTTP before berth trust', async (t) => {
    const { port } = await listenAt(t, '127.0.0.1')
    const root = await makeRoot(t, { 'usr/bin/podman': '', 'etc/hosts': '127.0.0.1 localhost\n' })
    const name = ['--registry', `localhost:${port}`]
    const before = await check(root, ...name)
    assert.equal(before.ok, false)
    assert.match(before.pull?.advice ?? '', /do not agree on TLS or plain HTTP/)
    assert.equal((await runCommand(['trust', '--root', root, ...name, '--once'])).status, 0)
    assert.equal((await check(root, ...name)).ok, true)
  })

  test('a problem of another runtime is reported, and is no failure', async (t) => {
    const { port } = await listenAt(t, '127.0.0.1')
    const root = await makeRoot(t, { ...configured, 'usr/bin/podman': '' })
    const found = await check(root, '--registry', `localhost:${port}`)
    assert.equal(found.ok, true)
    assert.deepEqual(
      found.of('pull').map(({ outcome }) => outcome),
      ['ok', 'skipped'],
    )
  })

  test('without a container runtime the answer on localhost decides', async (t) => {
    const { port } = await listenAt(t, '127.0.0.1')
    const root = await makeRoot(t, {})
    const found = await check(root, '--registry', `localhost:${port}`)
    assert.equal(found.ok, true)
    assert.match(
      found.of('runtime')[0]?.message ?? '',
      /no container runtime found; --root must be/,
    )
  })

  test('an invalid --registry is rejected', async () => {
    const { status, stderr } = await runCommand(['doctor', 'node', '--registry', 'a/b'])
    assert.equal(status, 1)
    assert.equal(stderr, 'berth: --registry a/b is invalid: expected HOST or HOST:PORT\n')
  })
})

const outbound = createOutbound()

suite('findProxyMode', { concurrency: true }, () => {
  test('returns the mode that kube-proxy reports', async (t) => {
    const root = createRooted(await makeRoot(t, { 'sys/class/net/kube-ipvs0': null }))
    for (const mode of ['iptables', 'nftables', 'ipvs']) {
      const { url } = await listenAt(t, '127.0.0.1', (_, response) => void response.end(mode))
      assert.equal((await findProxyMode(root, outbound, `${url}/proxyMode`)).mode, mode)
    }
  })

  test('detects the mode by interfaces and rules if kube-proxy does not answer', async (t) => {
    const { url } = await listenAt(t, '127.0.0.1', notRegistry)
    const root = await makeRoot(t, { 'sys/class/net/kube-ipvs0': null })
    assert.equal((await findProxyMode(createRooted(root), outbound, url)).mode, 'ipvs')
    const cilium = await makeRoot(t, { 'sys/class/net/cilium_host': null })
    const { mode } = await findProxyMode(createRooted(cilium), outbound, url)
    assert.ok(['cilium', 'iptables', 'nftables'].includes(mode), 'this machine may have rules')
  })

  test('route_localnet is on if any interface has it', async (t) => {
    const conf = 'proc/sys/net/ipv4/conf'
    const off = { [`${conf}/all/route_localnet`]: '0\n', [`${conf}/eth0/route_localnet`]: '0\n' }
    const port = freePort()
    const servicesWith = async (entries: Entries) => {
      const root = await makeRoot(t, { ...configured, ...entries })
      return (await check(root, '--registry', `localhost:${port}`)).of('services')[0]?.message
    }
    assert.match((await servicesWith(off)) ?? '', /route_localnet is off$/)
    const on = { ...off, [join(conf, 'eth0/route_localnet')]: '1\n' }
    assert.match((await servicesWith(on)) ?? '', /route_localnet is on$/)
  })
})
