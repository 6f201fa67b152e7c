import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { parseDigest } from '../../src/oci/digest.ts'
import { createContainerd } from '../../src/stores/containerd-client.ts'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import { main } from '../support/command.ts'
import { startContainerd } from '../support/containerd.ts'
import { useDirectory } from '../support/directory.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { startDockerd } from '../support/dockerd.ts'
import { type Image, makeIndex } from '../support/images.ts'
import { makeLayer, makeLayeredImage } from '../support/layered-images.ts'
import { writeLayout } from '../support/oci-layout.ts'
import { attempt, type Program, run, start, tool } from '../support/programs.ts'

const directory = await useDirectory()
const actions = ['pull', 'push', 'delete']
const config = {
  upstreams: [],
  auth: { access: [{ users: ['*'], repositories: ['**'], actions }] },
}
const name = 'host.example/team/app:1.2'
const at = (file: string) => join(directory, file)
/** Where no daemon is found by chance. */
const nowhere = {
  HOME: directory,
  XDG_RUNTIME_DIR: directory,
  DOCKER_HOST: `unix://${directory}/no-docker.sock`,
  CONTAINER_HOST: `unix://${directory}/no-podman.sock`,
  CONTAINERD_ADDRESS: `${directory}/no-containerd.sock`,
}

let berth: BerthProcess
let other: DockerRegistry
/** What all stores get, and an index of two platforms. */
let image: Image
let index: Image

before(async () => {
  berth = await startBerthProcess(config)
  other = await startDockerRegistry()
  await writeFile(at('password'), other.login.password)
  const layers = [await makeLayer('a', 300_000), await makeLayer('b', 40_000)]
  image = makeLayeredImage({ layers })
  const arm = makeLayeredImage({
    layers: [await makeLayer('c', 30_000)],
    architecture: 'arm64',
  })
  index = makeIndex([image, arm])
  for (const [tag, each] of Object.entries({ image, index })) {
    await writeLayout(at(tag), tag, each)
    await run([
      process.execPath,
      main,
      'image',
      'push',
      '-q',
      at(tag),
      `${berth.host}/local/origin:${tag}`,
    ])
  }
  await run([
    ...['skopeo', '--insecure-policy', 'copy', '-q', `oci:${at('image')}:image`],
    `docker-archive:${at('image.tar')}:${name}`,
  ])
})
after(async () => {
  await other.close()
  await berth.close()
})

type Environment = Readonly<Record<string, string>>

const push = (source: string, target: string, environment: Environment = nowhere) =>
  attempt([process.execPath, main, 'image', 'push', source, ...target.split(' ')], { environment })

/** Pushes to both registries; what Berth has afterwards, and all that was said. */
async function pushToBoth(source: string, tag: string, environment: Environment) {
  const host = new URL(other.url).host
  const login = `-u ${other.login.user} --password-file ${at('password')}`
  const one = await push(source, `${berth.host}/local/app:${tag}`, environment)
  const two = await push(source, `${host}/team/app:${tag} ${login}`, environment)
  assert.equal(one.status, 0, one.output)
  assert.equal(two.status, 0, two.output)
  const credentials = ['--creds', `${other.login.user}:${other.login.password}`]
  const [ours, theirs] = [
    await inspect(`${berth.host}/local/app:${tag}`),
    await inspect(`${host}/team/app:${tag}`, credentials),
  ]
  assert.deepEqual(theirs, ours)
  return { ...ours, output: one.output }
}

async function inspect(target: string, flags: readonly string[] = []) {
  const skopeo = ['skopeo', '--insecure-policy', 'inspect', '--tls-verify=false', ...flags]
  const { Digest: digest } = JSON.parse(await run([...skopeo, `docker://${target}`]))
  const { rootfs } = JSON.parse(await run([...skopeo, '--config', `docker://${target}`]))
  // All bytes, which skopeo verifies.
  const tls = flags.length === 0 ? [] : [`--src-creds=${flags[1]}`]
  await run([
    ...['skopeo', '--insecure-policy', 'copy', '-q', '--src-tls-verify=false', ...tls],
    ...[`docker://${target}`, `dir:${at(`copy-${digest.slice(7, 19)}`)}`],
  ])
  return { digest, diffIds: rootfs.diff_ids as readonly string[] }
}

const diffIds = () => {
  const [config] = image.blobs
  return JSON.parse(config?.bytes.toString('utf8') ?? '').rootfs.diff_ids as readonly string[]
}

for (const { runtime, program, ctr, version } of [
  {
    runtime: "Debian's containerd 1.6",
    program: '/usr/bin/containerd',
    ctr: '/usr/bin/ctr',
    version: 2,
  },
  { runtime: 'containerd 2', program: tool('containerd'), ctr: tool('ctr'), version: 3 },
] as const)
  suite(runtime, { concurrency: false }, () => {
    let daemon: Awaited<ReturnType<typeof startContainerd>>
    let environment: Environment
    const client = (...words: readonly string[]) =>
      run([ctr, '--address', daemon.socket, ...words], { environment: { HOME: directory } })

    before(async () => {
      const own = at(`containerd-${version}`)
      await mkdir(own)
      daemon = await startContainerd({ program, directory: own, version })
      environment = { ...nowhere, CONTAINERD_ADDRESS: daemon.socket }
      const pull = ['-n', 'k8s.io', 'images', 'pull', '--plain-http']
      for (const tag of ['image', 'index'])
        await client(...pull, '--platform', 'linux/amd64', `${berth.host}/local/origin:${tag}`)
      await client(
        'images',
        'pull',
        '--plain-http',
        '--all-platforms',
        `${berth.host}/local/origin:index`,
      )
      await client('images', 'tag', `${berth.host}/local/origin:index`, 'docker.io/library/whole:1')
    })
    after(() => daemon.close())

    test('an image keeps its digest, and nothing keeps its content afterwards', async () => {
      const source = `containerd://${berth.host}/local/origin:image`
      const pushed = await pushToBoth(source, `image-${version}`, environment)
      assert.equal(pushed.digest, image.digest)
      assert.match(pushed.output, /from containerd .*name space k8s\.io/)
      assert.doesNotMatch(await client('-n', 'k8s.io', 'leases', 'ls'), /berth/)
    })

    test('of an index that it has in part, the platform that is there is pushed', async () => {
      const source = `containerd://${berth.host}/local/origin:index`
      const pushed = await pushToBoth(source, `part-${version}`, environment)
      assert.equal(pushed.digest, image.digest)
      assert.match(pushed.output, /has linux\/amd64, and not linux\/arm64/)
    })

    test('an index that it has whole keeps its digest, under a short name in another name space', async () => {
      const pushed = await pushToBoth('whole:1', `whole-${version}`, environment)
      assert.equal(pushed.digest, index.digest)
      assert.match(pushed.output, /name space default/)
    })

    test('an image whose layers were removed is not pushed', async () => {
      const [, layer] = image.blobs
      const broken = 'broken.example/app:1'
      await client('namespaces', 'create', 'broken')
      await client(
        '-n',
        'broken',
        'images',
        'pull',
        '--plain-http',
        `${berth.host}/local/origin:image`,
      )
      await client('-n', 'broken', 'images', 'tag', `${berth.host}/local/origin:image`, broken)
      await client('-n', 'broken', 'content', 'rm', layer?.digest ?? '')
      const { status, output } = await push(
        `containerd://${broken}`,
        `${berth.host}/local/broken:1`,
        environment,
      )
      assert.equal(status, 1)
      assert.match(output, /not 1 of its blobs .*discard_unpacked_layers/)
    })

    test('content that was changed on the disk is not pushed', async () => {
      const [, layer] = image.blobs
      const blobs = join(at(`containerd-${version}`), 'root/io.containerd.content.v1.content/blobs')
      const file = join(blobs, (layer?.digest ?? '').replace(':', '/'))
      const bytes = await readFile(file)
      await chmod(file, 0o600)
      await writeFile(file, Buffer.concat([bytes.subarray(0, -1), Buffer.from('?')]))
      const fresh = await startBerthProcess(config)
      try {
        const source = `containerd://${berth.host}/local/origin:image`
        const { status, output } = await push(source, `${fresh.host}/local/app:rot`, environment)
        assert.equal(status, 1)
        assert.match(
          output,
          new RegExp(`containerd has other bytes than those of ${layer?.digest}`),
        )
      } finally {
        await fresh.close()
        await writeFile(file, bytes)
      }
    })

    test('a large blob is read with little memory', async (t) => {
      const size = 128 * 1024 * 1024
      await run([
        'dd',
        'if=/dev/urandom',
        `of=${at('large')}`,
        'bs=1M',
        `count=${size / 1024 / 1024}`,
      ])
      const digest = parseDigest(`sha256:${(await run(['sha256sum', at('large')])).slice(0, 64)}`)
      const ingest = [ctr, '--address', daemon.socket, '-n', 'large', 'content', 'ingest', 'large']
      await run(['sh', '-c', '"$@" <"$0"', at('large'), ...ingest])
      const containerd = createContainerd(daemon.socket)
      t.after(containerd.close)
      let read = 0
      let most = 0
      for await (const chunk of containerd.read('large', { digest, size })) {
        read += chunk.length
        most = Math.max(most, process.memoryUsage().arrayBuffers)
      }
      assert.equal(read, size)
      // What is not collected yet comes to some 40 MB; a stream that is read by one call keeps it all.
      assert.ok(most < size * 0.8, `${most} bytes`)
    })

    test('without the right to use the socket, it says so', async () => {
      await chmod(directory, 0o755)
      const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--']
      const target = `${berth.host}/local/app:nobody`
      const words = [process.execPath, main, 'image', 'push', 'containerd://app:1', target]
      const { status, output } = await attempt([...asNobody, ...words], {
        environment,
      })
      assert.equal(status, 1)
      assert.match(output, /containerd\.sock: permission denied: run as root/)
    })
  })

for (const [store, settings] of [
  ['docker', {}],
  ["docker with containerd's store", { features: { 'containerd-snapshotter': true } }],
] as const)
  suite(store, { concurrency: false }, () => {
    let daemon: Awaited<ReturnType<typeof startDockerd>>
    const tag = store.length.toString()

    before(async () => {
      const own = at(`docker-${tag}`)
      await mkdir(own)
      daemon = await startDockerd(own, settings)
      const docker = ['docker', '--host', daemon.address]
      await run([...docker, 'load', '-q', '-i', at('image.tar')])
      for (const more of ['app:latest', 'app:2']) await run([...docker, 'tag', name, more])
    })
    after(() => daemon.kill())

    test('an image keeps its layers', async () => {
      const pushed = await pushToBoth(name, `docker-${tag}`, {
        ...nowhere,
        DOCKER_HOST: daemon.address,
      })
      assert.deepEqual(pushed.diffIds, diffIds())
      assert.match(pushed.output, new RegExp(`copying ${name} from docker`))
    })

    test('a name without a tag is that of one image; a context names the daemon', async () => {
      const own = at(`context-${tag}`)
      await mkdir(own)
      const docker = ['docker', '--config', own, 'context', 'create', 'other']
      await run([...docker, '--docker', `host=${daemon.address}`])
      const pushed = await pushToBoth('docker-daemon:app', `latest-${tag}`, {
        ...nowhere,
        DOCKER_HOST: '',
        DOCKER_CONFIG: own,
        DOCKER_CONTEXT: 'other',
      })
      assert.deepEqual(pushed.diffIds, diffIds())
    })
  })

suite('podman', { concurrency: false }, () => {
  let service: Program
  // Not CONTAINER_HOST: the program takes it for the address of another podman, even if it is empty.
  const { CONTAINER_HOST: _, ...elsewhere } = nowhere
  const environment = () => ({
    ...elsewhere,
    CONTAINERS_CONF: '/dev/null',
    CONTAINERS_STORAGE_CONF: at('storage.conf'),
  })
  const socket = () => `unix://${at('podman.sock')}`

  before(async () => {
    const storage = { driver: 'vfs', graphroot: at('root'), runroot: at('run') }
    const lines = Object.entries(storage).map(([key, value]) => `${key} = "${value}"`)
    await writeFile(at('storage.conf'), `[storage]\n${lines.join('\n')}\n`)
    await run(['podman', 'load', '-q', '-i', at('image.tar')], { environment: environment() })
    await run(['podman', 'tag', name, 'localhost/own:1'], { environment: environment() })
    service = start(['podman', '--log-level=info', 'system', 'service', '--time=0', socket()], {
      environment: environment(),
    })
    await service.wrote(/listening on/i)
  })
  after(() => service.kill())

  test('without space for its archive, it says so, and leaves nothing behind', async () => {
    await mkdir(at('small'))
    const script =
      'mount -t tmpfs -o size=200k tmpfs "$1" && shift && "$@"; status=$?; ls "$TMPDIR"; exit $status'
    const target = `${berth.host}/local/app:full`
    const words = [process.execPath, main, 'image', 'push', 'podman://own:1', target]
    const full = await attempt(
      ['unshare', '--mount', 'sh', '-c', script, 'sh', at('small'), ...words],
      {
        environment: { ...environment(), TMPDIR: at('small'), CONTAINER_HOST: socket() },
      },
    )
    assert.equal(full.status, 1)
    assert.match(
      full.output,
      /cannot copy own:1 of podman to .*: no space is left after .* set TMPDIR/,
    )
    assert.doesNotMatch(full.output, /berth-image-/)
  })

  for (const [way, variables, address] of [
    ['its program', () => environment(), 'podman save'],
    ['its API', () => ({ ...environment(), CONTAINER_HOST: socket() }), 'podman.sock'],
  ] as const)
    test(`an image keeps its layers and its ID, by ${way}`, async () => {
      const tag = way.replaceAll(' ', '-')
      const pushed = await pushToBoth('podman://own:1', `podman-${tag}`, variables())
      assert.deepEqual(pushed.diffIds, diffIds())
      assert.match(pushed.output, new RegExp(`from podman \\(.*${address}`))
      const inspected = ['podman', 'image', 'inspect', '--format={{.Id}}', 'own:1']
      const id = (await run(inspected, { environment: environment() })).trim()
      const target = `docker://${berth.host}/local/app:podman-${tag}`
      const skopeo = ['skopeo', '--insecure-policy', 'inspect', '--tls-verify=false', '--raw']
      const manifest = JSON.parse(await run([...skopeo, target]))
      assert.equal(manifest.config.digest, `sha256:${id}`)
    })
})

test('an image that is nowhere: all places are named', async () => {
  const { status, output } = await push('app:1', `${berth.host}/local/app:none`)
  assert.equal(status, 1)
  for (const store of ['docker', 'podman', 'containerd'])
    assert.match(output, new RegExp(`no-${store}\\.sock: there is no such socket`))
})
