import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { digestOf } from '../../src/oci/digest.ts'
import { type DockerImage, dockerImage, dockerItems } from '../support/archives.ts'
import { login, namespaces } from '../support/cluster-scene.ts'
import { type Command, main, runCommand } from '../support/command.ts'
import {
  authorization,
  type ConnectScene,
  execRules,
  setConnectScene,
} from '../support/connect-scene.ts'
import type { Developer } from '../support/developer.ts'
import { useDirectory } from '../support/directory.ts'
import { startDockerd } from '../support/dockerd.ts'
import { run, start, tool } from '../support/programs.ts'
import { createRandom } from '../support/random.ts'
import { tarFile } from '../support/tar-file.ts'
import { until } from '../support/until.ts'

const directory = await useDirectory()
const port = 31_026
const host = `localhost:${port}`
/** Bytes of the image that is pushed; 1 GB by hand. */
const size = Number(process.env['CONNECT_MEBIBYTES'] ?? 48) * 1024 * 1024
const layerCount = 12

const forwardRules = [
  { resources: ['pods'], verbs: ['get', 'list'] },
  { resources: ['pods/portforward'], verbs: ['get', 'create'] },
]

/** One file of bytes that do not compress. */
const layer = (name: string, bytes: number) => tarFile([{ name, content: randomBytes(bytes) }])

describe('a registry in a cluster, with a kubeconfig for exec in one namespace', () => {
  let scene: ConnectScene
  let developer: Developer
  /** With the rights of the developer, and a proxy of its own. */
  let pusher: Developer
  let forwarder: Developer
  let docker: (...words: readonly string[]) => Promise<string>
  let plugin: string
  const closing: (() => unknown)[] = []

  before(async () => {
    scene = await setConnectScene(directory)
    developer = await scene.createDeveloper('developer', execRules)
    pusher = await scene.createDeveloper('pusher', execRules)
    forwarder = await scene.createDeveloper('forwarder', forwardRules)
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

  const connect = async (t: TestContext, as = developer): Promise<Command> => {
    const command = await scene.connect(as, port, plugin)
    t.after(() => command.signal('SIGINT'))
    return command
  }
  const berth = async (...args: readonly string[]) => {
    const { status, stdout, stderr } = await runCommand(args, {
      environment: scene.environmentOf(developer),
      file: plugin,
      patience: 600_000,
    })
    assert.equal(status, 0, stdout + stderr)
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
      authorization,
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
  /** The most that a process had, in MiB. */
  const memoryIn = (status: string) => Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
  const memoryOf = async (pid: number) => memoryIn(await readFile(`/proc/${pid}/status`, 'utf8'))
  /** Resolves when a user has sent so many bytes more. */
  const sent = async ({ proxy: { passed } }: Developer, bytes: number) => {
    const before = passed.sent
    await until('bytes are sent', () => assert.ok(passed.sent >= before + bytes), 300)
  }
  /** Of `berth pipe` and `berth serve` in the registry's pod. Pods of other clusters run on this machine too. */
  const podMemory = async () => {
    const [, node] = scene.cluster.nodes
    const pids = (await node.run(['pgrep', '-f', 'bin/berth (pipe|serve)$'])).trim().split('\n')
    const statuses = pids.map((pid) => node.run(['cat', `/proc/${pid}/status`]))
    return (await Promise.all(statuses)).map(memoryIn)
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
      const memory = [await memoryOf(command.pid), ...(await podMemory())]
      t.diagnostic(`connect, pipe and serve took at most ${memory.map(Math.round).join(', ')} MiB`)
      assert.equal(memory.length, 3)
      assert.ok(memory.every((most) => most < 300))
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

  test('kubectl berth pushes, lists, copies, inspects, pulls and deletes', (t) =>
    scene.explained(async () => {
      const file = join(directory, 'verbs.tar')
      const layers = layersOf(size)
      await writeFile(file, tarFile(dockerItems([dockerImage('app:1', layers)])))
      assert.match(
        await berth('push', file, 'verbs:1'),
        /^image: localhost:30026\/local\/verbs:1$/m,
      )
      layers[5] = layer('changed', size / layerCount)
      const changed = join(directory, 'changed.tar')
      await writeFile(changed, tarFile(dockerItems([dockerImage('app:1', layers)])))
      const before = developer.proxy.passed.sent
      await berth('push', changed, 'verbs:9', '--quiet')
      const sent = developer.proxy.passed.sent - before
      t.diagnostic(`${sent} bytes for a layer of ${Math.round(size / layerCount)}`)
      assert.ok(sent < (size / layerCount) * 1.1 + 200_000, `${sent} bytes`)
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

  test('kubectl berth why, status and doctor say what there is', (t) =>
    scene.explained(async () => {
      const why = await berth('why', 'verbs:2')
      assert.match(why, /^localhost:30026\/local\/verbs:2\n/)
      assert.match(why, /ok {4}content +on the hosted volume/)
      const status = await berth('status')
      assert.match(
        status,
        new RegExp(`^${await scene.pod()} +${namespaces.berth} +node[12] +yes `, 'm'),
      )
      assert.match(status, /^hosted +\S+ \S+, \d+ tags in \d+ repositories$/m)
      const doctor = await berth('doctor')
      t.diagnostic(doctor)
      assert.match(doctor, /ok {4}rights +you may list pods and exec in namespace/)
      assert.match(doctor, /- {5}service +Services are not known: .*403/)
      assert.match(doctor, /ok {4}registry +.*all of its parts work/)
      assert.match(doctor, /No problem found/)
    }))

  test('where exec is forbidden it forwards the port', (t) =>
    scene.explained(async () => {
      const command = await connect(t, forwarder)
      assert.match(command.stdout(), /by port-forward, because exec is forbidden/)
      const image = await load('forwarded:1', layersOf(6_000_000))
      await docker('push', '--quiet', `${host}/local/forwarded:1`)
      await check('forwarded:1', image)
    }))

  test('the page comes through kubectl port-forward', (t) =>
    scene.explained(async () => {
      const words = ['-n', namespaces.berth, `pod/${await scene.pod()}`, ':30026']
      const forward = start([tool('kubectl'), 'port-forward', ...words], {
        environment: scene.environmentOf(forwarder),
      })
      t.after(forward.kill)
      const [, url] = await forward.wrote(/from (127\.0\.0\.1:\d+)/)
      const page = await fetch(`http://${url}/`)
      assert.equal(new URL(page.url).pathname, '/ui/')
      const html = await page.text()
      const [, script] = /<script type="module" src="([^"]+)"/.exec(html) ?? []
      assert.equal((await fetch(new URL(script ?? '', page.url))).status, 200)
      const api = `http://${url}/api/repositories`
      assert.equal((await fetch(api)).status, 401)
      const { repositories } = (await (
        await fetch(api, { headers: { authorization } })
      ).json()) as { repositories: { name: string }[] }
      assert.ok(repositories.some(({ name }) => name.startsWith('local/')))
    }))

  test('a pod that is deleted during pushes costs retries, and both images are right', (t) =>
    scene.explained(async () => {
      const command = await connect(t)
      // Docker does not repeat the request for a manifest: the layers must take longer than the deletion.
      const image = await load('moved:1', layersOf(4 * size))
      const file = join(directory, 'moved.tar')
      const other = dockerImage('moved:2', layersOf(size))
      await writeFile(file, tarFile(dockerItems([other])))
      const pushes = Promise.all([
        docker('push', '--quiet', `${host}/local/moved:1`),
        runCommand(['push', file, 'moved:2', '--quiet'], {
          environment: scene.environmentOf(pusher),
          file: plugin,
          patience: 600_000,
        }),
      ])
      await Promise.all([sent(developer, size / 4), sent(pusher, size / 4)])
      const pod = ['delete', 'pod', '-n', namespaces.berth, await scene.pod()]
      await scene.cluster.kubectl([...pod, '--force', '--grace-period=0', '--wait=false'])
      const [, { status, stderr }] = await pushes
      assert.equal(status, 0, stderr)
      await until('it is noticed', () => assert.match(command.stderr(), /the connection broke/))
      // An idle connection to the pod that is gone may be closed only now.
      await until('the first image is right', () => check('moved:1', image))
      await until('the second image is right', () => check('moved:2', other))
    }))

  test('an API server that restarts during docker push costs a resumed connection', (t) =>
    scene.explained(async () => {
      const command = await connect(t)
      const image = await load('restarted:1', layersOf(size))
      const pushed = docker('push', '--quiet', `${host}/local/restarted:1`)
      await sent(developer, size / 4)
      await scene.cluster.restartApiServer()
      await pushed
      assert.match(command.stderr(), /connected again\n/)
      await check('restarted:1', image)
    }))
})
