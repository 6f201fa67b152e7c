import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { chmod, copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { startBerthProcess } from '../support/berth-process.ts'
import { type Authority, createAuthority } from '../support/certificates.ts'
import { runCommand } from '../support/command.ts'
import { startContainerd } from '../support/containerd.ts'
import { createCri } from '../support/cri.ts'
import { ownDirectory } from '../support/directory.ts'
import { htpasswdLine } from '../support/docker-registry.ts'
import { picture } from '../support/node-root.ts'
import { tool } from '../support/programs.ts'
import { login, mirrored, repository, setScene } from '../support/scene.ts'
import { startSilentListener } from '../support/silent-listener.ts'
import { startTap } from '../support/tap.ts'
import { startTrust } from '../support/trust.ts'
import { dockerRegistryUpstream } from '../support/upstreams.ts'

const runtimes = [
  { name: "Debian's containerd 1.6", program: '/usr/bin/containerd', version: 2 },
  { name: 'containerd 2', program: tool('containerd'), version: 3 },
] as const

type Kind = (typeof runtimes)[number]

type NodeOptions = {
  /** Of the registry that is not localhost. */
  readonly address?: string
  readonly localhost?: string
  /** Neither containerd nor its configuration on the node says where `hosts.toml` files are. */
  readonly withoutPath?: boolean
}

/**
 * A containerd whose directory is the root of a node. It knows one name more, of a registry that is
 * not localhost, since that one is believed without a certificate.
 */
async function startNode(t: TestContext, { program, version }: Kind, options: NodeOptions = {}) {
  const { address = '127.0.0.1', localhost = '127.0.0.1', withoutPath = false } = options
  const root = await ownDirectory(t)
  const wrapper = join(root, 'containerd')
  await mkdir(join(root, 'etc/containerd/certs.d'), { recursive: true })
  await writeFile(join(root, 'etc/hosts'), `${localhost} localhost\n${address} ${mirrored}\n`)
  const mounts = ['hosts', 'containerd'].map(
    (name) => `mount --bind ${root}/etc/${name} /etc/${name}`,
  )
  await writeFile(wrapper, `#!/bin/sh\n${mounts.join(' && ')} && exec ${program} "$@"\n`)
  await chmod(wrapper, 0o755)
  const daemon = await startContainerd({ program: wrapper, directory: root, version, withoutPath })
  t.after(daemon.close)
  const plugin = version === 2 ? 'io.containerd.grpc.v1.cri' : 'io.containerd.cri.v1.images'
  const path = `[plugins."${plugin}".registry]\nconfig_path = "/certs.d"\n`
  await writeFile(
    join(root, 'etc/containerd/config.toml'),
    `version = ${version}\n${withoutPath ? '' : path}`,
  )
  await mkdir(join(root, 'run/containerd'), { recursive: true })
  await symlink('/containerd.sock', join(root, 'run/containerd/containerd.sock'))
  const cri = createCri(daemon.socket)
  return {
    root,
    certificates: daemon.certificates,
    pull: (host: string, tag: string) => cri.pullImage(`${host}/${repository}:${tag}`, login),
    output: daemon.output,
  }
}

type Tls = { readonly certificate: string; readonly key: string }

async function issueTo({ certificate, key }: Tls, authority: Authority, names: readonly string[]) {
  const pair = await authority.issue(names)
  await writeFile(key, pair.key)
  await writeFile(certificate, pair.certificate)
}

async function tlsFiles(t: TestContext): Promise<Tls> {
  const directory = await ownDirectory(t)
  return { certificate: join(directory, 'tls.crt'), key: join(directory, 'tls.key') }
}

async function authorityOf(t: TestContext, name: string): Promise<Authority> {
  const authority = await createAuthority(name)
  t.after(() => authority.remove())
  return authority
}

for (const kind of runtimes) {
  describe(`berth trust for ${kind.name}`, () => {
    test('plain HTTP is spoken at once, to where localhost is led', async (t) => {
      const scene = await setScene(await dockerRegistryUpstream())
      t.after(scene.close)
      const tap = await startTap(scene.berth.host)
      t.after(tap.close)
      const node = await startNode(t, kind)
      const before = await picture(node.certificates)
      const server = `http://${tap.host.replace('localhost', '127.0.0.1')}`
      const trust = await startTrust(['--root', node.root, '--server', server])
      await trust.settled()
      const { runtimes } = await trust.status()
      assert.match(runtimes[0]?.version ?? '', kind.version === 2 ? /^1\.6\./ : /^2\./)

      await node.pull('localhost:30026', 'image')
      assert.ok(tap.begun.plain > 0)
      assert.equal(tap.begun.tls, 0, 'TLS was tried')
      await trust.stop()
      assert.notDeepEqual(await picture(node.certificates), before, 'a stop leaves the files')
      assert.equal((await runCommand(['trust', '--root', node.root, '--remove'])).status, 0)
      assert.deepEqual(await picture(node.certificates), before)
    })

    test('TLS is believed by our authority alone, and by its successor, without a restart', async (t) => {
      const tls = await tlsFiles(t)
      const [first, second] = [await authorityOf(t, 'first'), await authorityOf(t, 'second')]
      const names = [`DNS:${mirrored}`, 'DNS:localhost']
      await issueTo(tls, first, names)
      const scene = await setScene(await dockerRegistryUpstream(), { tls })
      t.after(scene.close)
      const node = await startNode(t, kind)
      const before = await picture(node.certificates)
      const registry = scene.berth.host.replace('localhost', mirrored)
      const ca = join(await ownDirectory(t), 'ca.crt')
      await copyFile(first.file, ca)
      const unknown = /certificate signed by unknown authority/
      await assert.rejects(node.pull(registry, 'image'), unknown)

      const trust = await startTrust(['--root', node.root, '--registry', registry, '--ca', ca])
      await trust.settled()
      await node.pull(registry, 'image')

      await issueTo(tls, second, names)
      await eventually('the new certificate is in force', () =>
        scene.berth.output().includes('"msg":"files changed: the new content is in force"'),
      )
      await assert.rejects(node.pull(registry, 'index'), unknown)
      await copyFile(second.file, ca)
      await eventually('the new authority is on the node', () =>
        trust.command.stdout().includes('"change":"renewed"'),
      )
      await node.pull(registry, 'index')

      await trust.stop()
      assert.equal((await runCommand(['trust', '--root', node.root, '--remove'])).status, 0)
      assert.deepEqual(await picture(node.certificates), before)
      await assert.rejects(node.pull(registry, 'image'), unknown)
    })

    test('a mirror is asked first, and the registry itself when it is down', async (t) => {
      const upstream = await dockerRegistryUpstream()
      const scene = await setScene(upstream)
      t.after(scene.close)
      const tls = await tlsFiles(t)
      const authority = await authorityOf(t, 'origin')
      await issueTo(tls, authority, [`DNS:${mirrored}`])
      const htpasswd = join(await ownDirectory(t), 'htpasswd')
      await writeFile(htpasswd, await htpasswdLine(login))
      // An address of its own, where nobody else has this port.
      const address = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`
      const origin = await startBerthProcess({
        listen: `${address}:443`,
        tls,
        auth: { htpasswd },
        upstreams: [upstream.config],
      })
      t.after(origin.close)
      const node = await startNode(t, kind, { address })
      // As somebody may have told the node of a registry's authority.
      const theirs = join(node.certificates, mirrored, 'hosts.toml')
      await mkdir(join(node.certificates, mirrored))
      await writeFile(theirs, `server = "https://${mirrored}"\nca = "${authority.file}"\n`)
      const before = await picture(node.certificates)
      const server = `http://${scene.berth.host}`
      const trust = await startTrust([
        ...['--root', node.root, '--server', server, '--mirror', mirrored],
      ])
      await trust.settled()

      await node.pull(mirrored, 'image')
      assert.equal(origin.requests().length, 0, 'the registry itself was asked')
      await eventually('Berth tells that it was asked', () =>
        scene.berth
          .requests()
          .some((request) => String(request['repository']).startsWith(`${mirrored}/`)),
      )

      await scene.berth.close()
      await node.pull(mirrored, 'index')
      await eventually('the registry tells that it was asked', () => origin.requests().length > 0)
      await trust.stop()
      assert.equal((await runCommand(['trust', '--root', node.root, '--remove'])).status, 0)
      assert.deepEqual(await picture(node.certificates), before)
      assert.match(await readFile(theirs, 'utf8'), /^server = /)
    })
  })
}

test('a mirror that takes no connection costs each request 200 ms, not 30 s', async (t) => {
  const upstream = await dockerRegistryUpstream()
  // It puts the images there; the nodes ask somebody else.
  const scene = await setScene(upstream)
  t.after(scene.close)
  const tls = await tlsFiles(t)
  const authority = await authorityOf(t, 'origin')
  await issueTo(tls, authority, [`DNS:${mirrored}`])
  const htpasswd = join(await ownDirectory(t), 'htpasswd')
  await writeFile(htpasswd, await htpasswdLine(login))
  const address = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`
  const origin = await startBerthProcess({
    listen: `${address}:443`,
    tls,
    auth: { htpasswd },
    upstreams: [upstream.config],
  })
  t.after(origin.close)
  const node = await startNode(t, runtimes[1], { address })
  const silent = await startSilentListener()
  t.after(silent.close)
  const hosts = join(node.certificates, mirrored)
  await mkdir(hosts)
  const before = `server = "https://${mirrored}"\nca = "${authority.file}"\n`
  await writeFile(join(hosts, 'hosts.toml'), before)
  const lead = ['--server', `http://${silent.host}`, '--mirror', mirrored]
  assert.equal((await runCommand(['trust', '--root', node.root, '--once', ...lead])).status, 0)
  const started = performance.now()
  await node.pull(mirrored, 'image')
  // A pull makes several requests: without dial_timeout, minutes.
  assert.ok(performance.now() - started < 60_000)
  assert.ok(origin.requests().length > 0)
})

test('containerd 2.2 and later is found to look in certs.d by itself', async (t) => {
  const scene = await setScene(await dockerRegistryUpstream())
  t.after(scene.close)
  const tap = await startTap(scene.berth.host)
  t.after(tap.close)
  const node = await startNode(t, runtimes[1], { withoutPath: true })
  const args = ['--root', node.root, '--server', `http://${tap.host}`, '--once']
  const { status, stdout } = await runCommand(['trust', ...args])
  assert.equal(status, 0, stdout)
  assert.match(stdout, /\/etc\/containerd\/certs\.d\/localhost_30026_\/hosts\.toml/)
  await node.pull('localhost:30026', 'image')
  assert.equal(tap.begun.tls, 0, 'TLS was tried')
})

test('containerd 1.6 without config_path is told what it lacks, and localhost needs nothing', async (t) => {
  const scene = await setScene(await dockerRegistryUpstream())
  t.after(scene.close)
  const node = await startNode(t, runtimes[0], { withoutPath: true })
  const name = ['--root', node.root, '--registry', scene.berth.host, '--once']
  const needless = await runCommand(['trust', ...name])
  assert.equal(needless.status, 0, needless.stdout)
  assert.match(needless.stdout, /has no config_path and uses plain HTTP for localhost/)
  await node.pull(scene.berth.host, 'image')
  const mirror = await runCommand(['trust', ...name, '--mirror', 'docker.io'])
  assert.equal(mirror.status, 1)
  assert.match(mirror.stdout, /containerd 1\.6\.\d+ has no config_path: add these lines/)
})

/** One way in which a registry may be there for a node, or not. */
type Layout = {
  readonly name: string
  /** What Berth listens on, and what localhost is on the node. */
  readonly listen: string
  readonly localhost: string
  /** What `berth trust` is told before. */
  readonly trust?: (port: number) => readonly string[]
  readonly works: boolean
}

const layouts: readonly Layout[] = [
  { name: 'on 127.0.0.1', listen: '127.0.0.1', localhost: '127.0.0.1', works: true },
  { name: 'on ::1, which localhost is', listen: '[::1]', localhost: '::1', works: true },
  { name: 'on ::1, which localhost is not', listen: '[::1]', localhost: '127.0.0.1', works: false },
  { name: "on the node's own address", listen: '127.0.0.5', localhost: '127.0.0.1', works: false },
  {
    name: "on the node's own address, where the runtime is led",
    listen: '127.0.0.5',
    localhost: '127.0.0.1',
    trust: (port) => ['--server', `http://127.0.0.5:${port}`],
    works: true,
  },
  {
    name: 'on 127.0.0.1, from where the runtime is led away',
    listen: '127.0.0.1',
    localhost: '127.0.0.1',
    trust: (port) => ['--server', `http://127.0.0.5:${port}`],
    works: false,
  },
  {
    name: 'on 127.0.0.1, which the runtime takes for TLS',
    listen: '127.0.0.1',
    localhost: '127.0.0.1',
    trust: (port) => ['--server', `https://127.0.0.1:${port}`],
    works: false,
  },
]

for (const kind of runtimes) {
  describe(`berth doctor node is right about ${kind.name}`, () => {
    for (const { name, listen, localhost, trust, works } of layouts)
      test(`with Berth ${name}`, async (t) => {
        const port = randomInt(11_000, 20_000)
        const scene = await setScene(await dockerRegistryUpstream(), {
          listen: `${listen}:${port}`,
        })
        t.after(scene.close)
        const node = await startNode(t, kind, { localhost })
        const registry = `localhost:${port}`
        const common = ['--root', node.root, '--registry', registry]
        if (trust !== undefined) {
          const done = await runCommand(['trust', ...common, '--once', ...trust(port)])
          assert.equal(done.status, 0, done.stdout)
        }
        const doctor = await runCommand(['doctor', 'node', ...common, '--node-ip', '127.0.0.5'])
        const pulled = await node.pull(registry, 'image').then(
          () => true,
          () => false,
        )
        assert.equal(pulled, works, 'what a pull does')
        assert.equal(doctor.status === 0, works, doctor.stdout)
      })
  })
}
