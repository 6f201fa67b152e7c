import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { type DockerImage, dockerImage, dockerItems } from '../support/archives.ts'
import type { Cluster } from '../support/cluster.ts'
import { type ClusterScene, login, namespaces, setClusterScene } from '../support/cluster-scene.ts'
import { main, runCommand, startCommand } from '../support/command.ts'
import { createDeveloper, type Developer } from '../support/developer.ts'
import { useDirectory } from '../support/directory.ts'
import { startDockerd } from '../support/dockerd.ts'
import { run, start, tool } from '../support/programs.ts'
import { createRandom } from '../support/random.ts'
import { tarFile } from '../support/tar-file.ts'

const directory = await useDirectory()
const volume = '/var/lib/berth-connect-test'
const port = 31_026
const host = `localhost:${port}`
/** Bytes of the image that is pushed; 1 GB by hand. */
const size = Number(process.env['CONNECT_MEBIBYTES'] ?? 48) * 1024 * 1024
const layerCount = 12

const persistentVolume = {
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: 'connect-hosted' },
  spec: {
    capacity: { storage: '4Gi' },
    accessModes: ['ReadWriteOnce'],
    storageClassName: 'local',
    persistentVolumeReclaimPolicy: 'Retain',
    hostPath: { path: volume },
  },
}

const values = {
  replicas: 1,
  hosted: { enabled: true, storageClass: 'local', size: '4Gi', keep: false },
  config: {
    auth: {
      access: [{ users: [login.user], repositories: ['**'], actions: ['pull', 'push', 'delete'] }],
    },
  },
}

const execRules = [
  { resources: ['pods'], verbs: ['get', 'list'] },
  { resources: ['pods/exec'], verbs: ['get', 'create'] },
]
const forwardRules = [
  { resources: ['pods'], verbs: ['get', 'list'] },
  { resources: ['pods/portforward'], verbs: ['get', 'create'] },
]

/** One file of bytes that do not compress. */
const layer = (name: string, bytes: number) => tarFile([{ name, content: randomBytes(bytes) }])

describe('a registry in a cluster, with a kubeconfig for exec in one namespace', () => {
  let scene: ClusterScene<Cluster>
  let developer: Developer
  let forwarder: Developer
  let docker: (...words: readonly string[]) => Promise<string>
  let plugin: string
  const closing: (() => unknown)[] = []

  before(async () => {
    scene = await setClusterScene('iptables')
    for (const node of scene.cluster.nodes)
      await node.run(['install', '-d', '-o', '65532', '-g', '65532', volume])
    await scene.cluster.apply(persistentVolume)
    await scene.explained(() => scene.install(3, values))
    const namespace = namespaces.berth
    const of = (name: string, rules: typeof execRules) =>
      createDeveloper(scene.cluster, { name, namespace, rules, directory })
    developer = await of('developer', execRules)
    forwarder = await of('forwarder', forwardRules)
    closing.push(developer.proxy.close, forwarder.proxy.close)
    plugin = join(directory, 'kubectl-berth')
    await symlink(main, plugin)

    const own = join(directory, 'docker')
    await mkdir(join(own, 'client'), { recursive: true })
    const auth = Buffer.from(`${login.user}:${login.password}`).toString('base64')
    const config = { auths: { [host]: { auth }, 'localhost:30026': { auth } } }
    await writeFile(join(own, 'client/config.json'), JSON.stringify(config))
    const daemon = await startDockerd(own)
    closing.push(daemon.kill)
    const client = ['/usr/bin/docker', '--config', join(own, 'client'), '--host', daemon.address]
    docker = (...words) => run([...client, ...words], { patience: 500 })
  })
  after(async () => {
    for (const step of closing.toReversed()) await step()
    await scene?.close()
  })

  const environmentOf = ({ kubeconfig }: Developer) => ({
    HOME: directory,
    KUBECONFIG: kubeconfig,
    DOCKER_CONFIG: join(directory, 'docker/client'),
  })
  const connect = async (t: TestContext, as = developer) => {
    const environment = environmentOf(as)
    const command = startCommand(['connect', '--port', String(port), '-v'], {
      environment,
      file: plugin,
      patience: 600_000,
    })
    t.after(() => command.signal('SIGINT'))
    await command.wrote(/is the registry of pod/)
    return command
  }
  const berth = async (...args: readonly string[]) => {
    const { status, stdout, stderr } = await runCommand(args, {
      environment: environmentOf(developer),
      file: plugin,
    })
    assert.equal(status, 0, stderr)
    return stdout
  }
  /** Loads an image into docker under a name of the registry. */
  const load = async (name: string, layers: readonly Buffer[]): Promise<DockerImage> => {
    const image = dockerImage(`${host}/local/${name}`, layers)
    const file = join(directory, 'image.tar')
    await writeFile(file, tarFile(dockerItems([image])))
    await docker('load', '--quiet', '--input', file)
    return image
  }
  /** Each blob of the image is read back, and is what its digest says. */
  const check = async (name: string, { config }: DockerImage) => {
    const [repository, tag] = name.split(':')
    const headers = {
      accept: 'application/vnd.docker.distribution.manifest.v2+json',
      authorization: `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`,
    }
    const url = `http://${host}/v2/local/${repository}`
    const manifest = (await (await fetch(`${url}/manifests/${tag}`, { headers })).json()) as {
      config: { digest: string }
      layers: { digest: string }[]
    }
    assert.equal(manifest.config.digest, digestOf(config))
    assert.equal(manifest.layers.length, layerCount)
    for (const { digest } of manifest.layers) {
      const bytes = await (await fetch(`${url}/blobs/${digest}`, { headers })).arrayBuffer()
      assert.equal(digestOf(Buffer.from(bytes)), digest)
    }
  }
  const memoryOf = async (pid: number) => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
  }
  const layersOf = (bytes: number) =>
    Array.from({ length: layerCount }, (_, n) => layer(`file-${n}`, Math.floor(bytes / layerCount)))

  test('docker push through connect, and again with one layer changed: only that travels', (t) =>
    scene.explained(async () => {
      const command = await connect(t)
      const layers = layersOf(size)
      const image = await load('app:1', layers)
      const { passed } = developer.proxy
      const began = performance.now()
      await docker('push', '--quiet', `${host}/local/app:1`)
      const seconds = (performance.now() - began) / 1000
      t.diagnostic(
        `${(size / 1e6 / seconds).toFixed(1)} MB/s, connect ${Math.round(await memoryOf(command.pid))} MiB`,
      )
      assert.ok(passed.sent >= size && passed.sent < size * 1.1, `${passed.sent} bytes for ${size}`)
      await check('app:1', image)

      const before = passed.sent
      layers[3] = layer('changed', size / layerCount)
      const changed = await load('app:2', layers)
      const first = passed.sent
      await docker('push', '--quiet', `${host}/local/app:2`)
      const sent = passed.sent - first
      t.diagnostic(
        `${sent} bytes for a layer of ${Math.round(size / layerCount)}; ${before} before`,
      )
      assert.ok(sent < (size / layerCount) * 1.1 + 200_000, `${sent} bytes`)
      await check('app:2', changed)
      assert.ok((await memoryOf(command.pid)) < 250)
    }))

  test('the connection is cut twenty times at random during docker push, and the image is right', (t) =>
    scene.explained(async () => {
      const random = createRandom(t)
      await connect(t)
      const image = await load('cut:1', layersOf(size))
      const { proxy } = developer
      let cuts = 0
      let next = proxy.passed.sent + random.integer(size / 20)
      const interval = setInterval(() => {
        if (proxy.passed.sent < next || cuts >= 20) return
        cuts += 1
        next = proxy.passed.sent + random.integer(size / 12)
        proxy.cut()
      }, 5)
      await docker('push', '--quiet', `${host}/local/cut:1`)
      clearInterval(interval)
      t.diagnostic(`${cuts} cuts`)
      assert.ok(cuts >= 10)
      await check('cut:1', image)
    }))

  test('kubectl berth pushes, lists, copies, inspects, pulls and deletes', () =>
    scene.explained(async () => {
      const file = join(directory, 'verbs.tar')
      await writeFile(file, tarFile(dockerItems([dockerImage('app:1', layersOf(2_000_000))])))
      assert.match(
        await berth('push', file, 'verbs:1'),
        /^image: localhost:30026\/local\/verbs:1$/m,
      )
      await berth('copy', 'verbs:1', 'verbs:2')
      assert.match(await berth('list', 'verbs'), /^1\n2$/m)
      assert.match(await berth('inspect', 'verbs:2'), /sha256:/)
      await berth('pull', 'verbs:2', join(directory, 'back.tar'))
      const again = JSON.parse(
        await berth('push', join(directory, 'back.tar'), 'verbs:3', '-o', 'json'),
      )
      assert.equal(again.sent, 0)
      await berth('delete', 'verbs:1')
      assert.doesNotMatch(await berth('list', 'verbs'), /^1$/m)
    }))

  test('where exec is forbidden it forwards the port', (t) =>
    scene.explained(async () => {
      const command = await connect(t, forwarder)
      assert.match(command.stdout(), /by port-forward, because exec is forbidden/)
      const image = await load('forwarded:1', layersOf(6_000_000))
      await docker('push', '--quiet', `${host}/local/forwarded:1`)
      await check('forwarded:1', image)
    }))

  test('beside kubectl cp and kubectl port-forward', (t) =>
    scene.explained(async () => {
      const environment = { ...environmentOf(developer), KUBECONFIG: scene.cluster.kubeconfig }
      const file = join(directory, 'bytes')
      await writeFile(file, randomBytes(size))
      const pods = ['get', 'pods', '-n', namespaces.berth, '-o', 'name', '-l']
      const names = await scene.cluster.kubectl([...pods, 'app.kubernetes.io/component=registry'])
      const pod = names.trim().replace('pod/', '')
      const timed = async (what: () => Promise<unknown>) => {
        const began = performance.now()
        await what()
        return (performance.now() - began) / 1000
      }
      const target = `${namespaces.berth}/${pod}:/var/lib/berth/bytes`
      const copied = await timed(() =>
        run([tool('kubectl'), 'cp', '--retries=3', file, target], { environment, patience: 500 }),
      )
      const push = async (to: string, name: string) => {
        const headers = {
          authorization: `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}`,
        }
        const url = `http://${to}`
        const opened = await fetch(`${url}/v2/local/${name}/blobs/uploads/`, {
          method: 'POST',
          headers,
        })
        assert.equal(opened.status, 202)
        const bytes = await readFile(file)
        const location = new URL(opened.headers.get('location') ?? '', url)
        location.searchParams.set('digest', digestOf(bytes))
        const put = await fetch(location, { method: 'PUT', headers, body: bytes })
        assert.equal(put.status, 201)
      }
      await connect(t)
      const piped = await timed(() => push(host, 'piped'))
      const forward = ['port-forward', '-n', namespaces.berth, pod, '31027:30026']
      const forwarding = start([tool('kubectl'), ...forward], { environment })
      t.after(() => forwarding.kill())
      await forwarding.wrote(/Forwarding from/)
      const forwarded = await timed(() => push('localhost:31027', 'forwarded-bytes'))
      const rate = (seconds: number) => `${(size / 1e6 / seconds).toFixed(1)} MB/s`
      t.diagnostic(
        `connect ${rate(piped)}, kubectl cp ${rate(copied)}, kubectl port-forward ${rate(forwarded)}`,
      )
      t.diagnostic(
        `connect / cp ${(copied / piped).toFixed(2)}, connect / port-forward ${(forwarded / piped).toFixed(2)}`,
      )
      assert.ok(piped < 20 * Math.min(copied, forwarded), 'not stalled')
    }))
})
