import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import { main } from '../support/command.ts'
import { startContainerd } from '../support/containerd.ts'
import { createCri } from '../support/cri.ts'
import { useDirectory } from '../support/directory.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { type Image, makeIndex } from '../support/images.ts'
import { type Layer, makeLayer, makeLayeredImage } from '../support/layered-images.ts'
import { writeLayout } from '../support/oci-layout.ts'
import { attempt, run, tool } from '../support/programs.ts'
import { until } from '../support/until.ts'

const directory = await useDirectory()
const actions = ['pull', 'push', 'delete']
const config = {
  upstreams: [],
  auth: { access: [{ users: ['*'], repositories: ['**'], actions }] },
}
const at = (file: string) => join(directory, file)

let berth: BerthProcess
let other: DockerRegistry
let layers: readonly Layer[]
let image: Image
/** Of two platforms; nodes pull `amd`. */
let index: Image
let amd: Image

before(async () => {
  berth = await startBerthProcess(config)
  other = await startDockerRegistry()
  await writeFile(at('password'), other.login.password)
  layers = [await makeLayer('a', 300_000), await makeLayer('b', 9_000)]
  image = makeLayeredImage({ layers })
  amd = makeLayeredImage({ layers: [await makeLayer('c', 9_000)] })
  const arm = makeLayeredImage({ layers: [await makeLayer('d', 9_000)], architecture: 'arm64' })
  index = makeIndex([amd, arm])
  for (const [tag, each] of Object.entries({ image, index })) await writeLayout(at(tag), tag, each)
})
after(async () => {
  await other.close()
  await berth.close()
})

type Runtime = {
  readonly runtime: string
  readonly program: string
  readonly ctr: string
  readonly version: 2 | 3
}

const runtimes: readonly Runtime[] = [
  {
    runtime: "Debian's containerd 1.6",
    program: '/usr/bin/containerd',
    ctr: '/usr/bin/ctr',
    version: 2,
  },
  { runtime: 'containerd 2', program: tool('containerd'), ctr: tool('ctr'), version: 3 },
]

/** A node with images that a kubelet has pulled. */
async function startNode({ program, ctr, version }: Runtime, discards: boolean) {
  const own = at(`node-${version}-${discards}`)
  await mkdir(own)
  const daemon = await startContainerd({ program, directory: own, version, discards })
  const environment = { HOME: directory, CONTAINERD_ADDRESS: daemon.socket }
  const cri = createCri(daemon.socket)
  for (const tag of ['image', 'index'])
    await cri.pullImage(`${berth.host}/local/${tag}:1`, { user: '', password: '' })
  const rescue = (...words: readonly string[]) =>
    attempt([process.execPath, main, 'image', 'rescue', ...words], { environment })
  const has = async ({ digest }: { readonly digest: string }) => {
    const list = [ctr, '--address', daemon.socket, '-n', 'k8s.io', 'content', 'ls', '-q']
    return (await run(list)).includes(digest)
  }
  return { daemon, rescue, has }
}

const berthImage = (...words: readonly string[]) =>
  run([process.execPath, main, 'image', ...words], { environment: { HOME: directory } })

async function putImages(): Promise<void> {
  for (const tag of ['image', 'index'])
    await berthImage('push', '-q', at(tag), `${berth.host}/local/${tag}:1`)
}

/** All bytes of the image for linux/amd64, which skopeo verifies. Its digest. */
async function pulled(name: string, flags: readonly string[] = []): Promise<void> {
  const copy = ['skopeo', '--insecure-policy', '--override-arch=amd64', 'copy', '-q']
  const target = `dir:${at(`pulled-${crypto.randomUUID()}`)}`
  await run([...copy, '--src-tls-verify=false', ...flags, `docker://${name}`, target])
}

for (const runtime of runtimes) {
  /** What does not depend on containerd is tested with one. */
  const testOnce: (name: string, body: () => Promise<void>) => void =
    runtime.version === 3 ? test : () => undefined
  suite(`berth image rescue with ${runtime.runtime}`, { concurrency: false }, () => {
    let node: Awaited<ReturnType<typeof startNode>>
    const name = (tag: string) => `${berth.host}/local/${tag}`
    const listed = async () => {
      const { stdout } = await node.rescue('--list', '-o', 'json', `${berth.host}/`)
      const { images } = JSON.parse(stdout) as {
        images: readonly { image: string; state: string; platforms?: string }[]
      }
      return Object.fromEntries(images.map(({ image: each, ...rest }) => [each, rest]))
    }

    before(async () => {
      await putImages()
      node = await startNode(runtime, false)
      const before = await listed()
      assert.deepEqual(
        Object.values(before).map(({ state }) => state),
        ['present', 'present'],
      )
      for (const [tag, { digest }] of Object.entries({ image, index }))
        await berthImage('delete', '--force', `${name(tag)}@${digest}`)
      await berthImage('delete', '--force', `${name('index')}@${amd.digest}`)
    })
    after(() => node.daemon.close())

    test('it lists what the registry does not have any more', async () => {
      const rows = await listed()
      assert.equal(rows[`${name('image')}:1`]?.state, 'missing')
      assert.equal(rows[`${name('index')}:1`]?.state, 'missing')
      assert.equal(rows[`${name('index')}:1`]?.platforms, 'linux/amd64')
    })

    test('an image goes back to where it was, by its name', async () => {
      const { status, output } = await node.rescue(`${name('image')}:1`)
      assert.equal(status, 0, output)
      const inspected = JSON.parse(await berthImage('inspect', '-o', 'json', `${name('image')}:1`))
      assert.equal(inspected.digest, image.digest)
      await pulled(`${name('image')}:1`)
    })

    testOnce(
      'a tag that was pushed again meanwhile is left alone, unless it is named',
      async () => {
        const moved = makeLayeredImage({ layers: [await makeLayer('new', 1000)] })
        await writeLayout(at(`moved-${runtime.version}`), 'moved', moved)
        await berthImage('push', '-q', at(`moved-${runtime.version}`), `${name('image')}:1`)
        const inspect = ['inspect', '-o', 'json', `${name('image')}:1`]
        const { status, output } = await node.rescue(image.digest)
        assert.equal(status, 0, output)
        assert.match(output, /not set, because the registry has other images there: 1;/)
        assert.equal(JSON.parse(await berthImage(...inspect)).digest, moved.digest)
        assert.equal((await node.rescue(image.digest, `${name('image')}:1`)).status, 0)
        assert.equal(JSON.parse(await berthImage(...inspect)).digest, image.digest)
      },
    )

    test('of an index, what is there goes back, and pods can name it by its digest', async () => {
      const { status, output } = await node.rescue(`${name('index')}@${index.digest}`)
      assert.equal(status, 0, output)
      assert.match(output, /the index is incomplete: this node does not have linux\/arm64/)
      await pulled(`${name('index')}@${index.digest}`)
      await pulled(`${name('index')}:1`)
    })

    test('an image ID leads to its image, in another registry', async () => {
      const [{ digest: id = '' } = {}] = image.blobs
      const host = new URL(other.url).host
      const login = ['-u', other.login.user, '--password-file', at('password')]
      const target = `${host}/team/app:id-${runtime.version}`
      const { status, output } = await node.rescue(id, target, ...login)
      assert.equal(status, 0, output)
      assert.match(output, /is the ID of this image/)
      const { user, password } = other.login
      await pulled(target, ['--src-creds', `${user}:${password}`])
    })

    testOnce(
      'a registry that needs all platforms gets those that are there, and it says so',
      async () => {
        const host = new URL(other.url).host
        const login = ['-u', other.login.user, '--password-file', at('password')]
        const { status, output } = await node.rescue(index.digest, `${host}/team/index:1`, ...login)
        assert.equal(status, 1)
        assert.match(output, /pushed linux\/amd64 to .* by digest .*, but not the index/)
        const { user, password } = other.login
        await pulled(`${host}/team/index@${amd.digest}`, ['--src-creds', `${user}:${password}`])
      },
    )

    testOnce('another registry gets it below a prefix', async () => {
      const fresh = await startBerthProcess(config)
      try {
        const words = [
          `${name('image')}@${image.digest}`,
          '--registry',
          `${fresh.host}/local/saved`,
        ]
        const { status, output } = await node.rescue(...words)
        assert.equal(status, 0, output)
        await pulled(`${fresh.host}/local/saved/local/image:1`)
      } finally {
        await fresh.close()
      }
    })

    testOnce('what it does not have, it names with where it looked', async () => {
      const absent = `sha256:${'0'.repeat(64)}`
      const { status, output } = await node.rescue(absent, `${berth.host}/local/absent:1`)
      assert.equal(status, 1)
      assert.match(output, /does not have sha256:0+ \(name spaces: k8s\.io/)
    })

    test('layers that containerd has discarded cannot be rescued, and it says why', async (t) => {
      await putImages()
      const discarding = await startNode(runtime, true)
      t.after(discarding.daemon.close)
      for (const layer of layers)
        await until('containerd has discarded the layer', async () =>
          assert.equal(await discarding.has(layer), false),
        )
      const { status, output } = await discarding.rescue(`${name('image')}:1`)
      assert.equal(status, 1)
      assert.match(output, /not 2 of its blobs .*discard_unpacked_layers/)
    })
  })
}
