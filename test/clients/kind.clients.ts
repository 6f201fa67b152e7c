import assert from 'node:assert/strict'
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { parse } from 'yaml'
import { berthImage, buildBerthImage } from '../support/berth-image.ts'
import { main } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'
import { type Namespaces, startNamespaces } from '../support/namespaces.ts'
import { tool } from '../support/programs.ts'
import { until } from '../support/until.ts'

/**
 * Real docker with a network of its own, and nodes with a real containerd. kind itself is a stand-in: its node images
 * cannot be had here.
 */
const image = `${berthImage.repository}:${berthImage.tag}`
const directory = await useDirectory()
const environment = {
  HOME: directory,
  DOCKER_HOST: `unix://${directory}/docker.sock`,
  PATH: `${directory}/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin`,
}
const host = 'localhost:5001'
const app = `${host}/team/app:1.2`

let machine: Namespaces

const docker = (...words: readonly string[]) => machine.run(['docker', ...words], { environment })
const kind = (...words: readonly string[]) =>
  machine.run([process.execPath, main, 'kind', ...words], { environment, patience: 240 })
const up = (...words: readonly string[]) => kind('up', '--port', '5001', '--image', image, ...words)
const pullOn = (node: string, name: string) => {
  const hosts = ['--hosts-dir', '/etc/containerd/certs.d']
  return docker('exec', node, 'ctr', '-n', 'k8s.io', 'content', 'fetch', ...hosts, name)
}

/** As on the nodes of kind. */
const containerdConfig = `version = 3
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "/etc/containerd/certs.d"
`

/** An image of nodes: busybox, containerd, and programs that kind's nodes have as well. */
async function buildNodeImage(): Promise<void> {
  const bin = join(directory, 'node', 'bin')
  await mkdir(bin, { recursive: true })
  await copyFile('/bin/busybox', join(bin, 'busybox'))
  for (const each of ['containerd', 'ctr']) await copyFile(tool(each), join(bin, each))
  for (const each of ['sh', 'mkdir', 'cat', 'mv', 'grep', 'wget'])
    await symlink('busybox', join(bin, each))
  const scripts = {
    // The URL is the last argument.
    curl: 'for url; do :; done; exec wget -q -O - "$url"',
    kubectl: 'cat > /applied.yaml',
  }
  for (const [name, text] of Object.entries(scripts))
    await writeFile(join(bin, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 })
  await mkdir(join(directory, 'node', 'tmp'))
  const etc = join(directory, 'node', 'etc', 'containerd')
  await mkdir(etc, { recursive: true })
  await writeFile(join(etc, 'config.toml'), containerdConfig)
  const archive = join(directory, 'node.tar')
  await machine.run(['tar', '-cf', archive, '-C', join(directory, 'node'), '.'])
  await docker('import', '--change', 'ENTRYPOINT ["containerd"]', archive, 'node.test/node:1')
}

async function startDocker(): Promise<void> {
  const data = ['--data-root', `${directory}/data`, '--exec-root', `${directory}/exec`]
  const rest = ['--pidfile', `${directory}/docker.pid`, '--host', environment.DOCKER_HOST]
  machine.keep(['dockerd', ...data, ...rest], join(directory, 'docker.log'))
  for (let attempts = 0; ; attempts += 1) {
    const { status, output } = await machine.attempt(['docker', 'info'], { environment })
    if (status === 0) return
    assert.ok(attempts < 100, output)
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
}

suite('a local cluster of kind', { timeout: 600_000 }, () => {
  before(async () => {
    machine = await startNamespaces('mount -t tmpfs tmpfs /run')
    await mkdir(join(directory, 'bin'))
    const standIn = new URL('../support/kind-stand-in.sh', import.meta.url).pathname
    await symlink(standIn, join(directory, 'bin', 'kind'))
    await startDocker()
    await buildNodeImage()
    await docker('load', '--input', await buildBerthImage())
  })

  after(() => machine.close())

  test('pulls on every node what was pushed to localhost:PORT on the machine', async () => {
    const printed = await up('--workers', '1')
    assert.match(printed, /node kind-control-plane1: pulls from localhost:5001/)
    assert.match(printed, /node kind-worker2: pulls from localhost:5001/)
    await docker('tag', 'node.test/node:1', app)
    await docker('push', app)
    for (const node of ['kind-control-plane1', 'kind-worker2'])
      assert.match(await pullOn(node, app), /done/)
  })

  test('tells tools where the registry is (KEP-1755)', async () => {
    const map = parse(await docker('exec', 'kind-control-plane1', 'cat', '/applied.yaml'))
    assert.equal(map.metadata.namespace, 'kube-public')
    assert.deepEqual(parse(map.data['localRegistryHosting.v1']), {
      host,
      hostFromContainerRuntime: 'berth-kind:30026',
      hostFromClusterNetwork: 'berth-kind:30026',
      help: 'https://github.com/berth-registry/berth#readme',
    })
  })

  test('sends the pulls of all other registries through the cache', async () => {
    await assert.rejects(pullOn('kind-worker2', '192.0.2.1/team/app:1'))
    // The line of a request is in docker's log some time after the response.
    await until('the request of the node is in the log', async () => {
      const log = await docker('logs', 'berth-kind')
      assert.match(log, /no upstream is configured for 192\.0\.2\.1/)
    })
  })

  test('stays as it is when the command is repeated, and gets what is missing', async () => {
    assert.match(await up('--workers', '1'), /registry berth-kind: unchanged/)
    await docker('rm', '--force', 'berth-kind')
    await docker('exec', 'kind-worker2', 'busybox', 'rm', '-r', '/etc/containerd/certs.d')
    const label = 'io.x-k8s.kind.cluster=kind'
    const worker = ['--label', label, '--label', 'io.x-k8s.kind.role=worker']
    const volumes = ['--tmpfs', '/var/lib/containerd', '--tmpfs', '/run']
    const added = ['--name', 'kind-worker3', '--network', 'kind', ...worker, ...volumes]
    await docker('run', '--detach', ...added, 'node.test/node:1')
    assert.match(await up(), /registry berth-kind: started/)
    for (const node of ['kind-worker2', 'kind-worker3'])
      assert.match(await pullOn(node, app), /done/)
  })

  test('keeps its images when it is deleted, unless the volume goes as well', async () => {
    assert.match(await kind('down', '--port', '5001'), /keeps its images/)
    assert.equal((await docker('ps', '--all', '--quiet')).trim(), '')
    await up()
    assert.match(await pullOn('kind-control-plane1', app), /done/)
    await kind('down', '--port', '5001', '--volumes')
    assert.equal((await docker('volume', 'ls', '--quiet')).trim(), '')
  })

  test('does not touch a container of the same name that somebody else started', async () => {
    await docker('run', '--detach', '--name', 'berth-kind', '--tmpfs', '/run', 'node.test/node:1')
    const command = [process.execPath, main, 'kind', 'up', '--image', image]
    const { status, output } = await machine.attempt(command, { environment, patience: 120 })
    assert.equal(status, 1)
    assert.match(output, /a container berth-kind exists that this command did not start/)
    assert.match(await docker('ps', '--format', '{{.Names}}'), /berth-kind/)
  })
})
