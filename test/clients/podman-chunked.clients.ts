import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { run } from '../support/programs.ts'

const fileSize = 20_000
const files = Array.from({ length: 200 }, (_, at) => `file-${at}`)
const changed = files.filter((_, at) => at % 60 === 0)

/** podman that fetches of a layer what it does not have (containers-storage.conf, `pull_options`). */
async function startPodman(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  const storage = join(directory, 'storage.conf')
  const policy = join(directory, 'policy.json')
  await writeFile(
    storage,
    `[storage]\ndriver = "overlay"\ngraphroot = "${directory}/root"\nrunroot = "${directory}/run"\n` +
      '[storage.options]\npull_options = {enable_partial_images = "true"}\n',
  )
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  const environment = {
    HOME: directory,
    XDG_RUNTIME_DIR: directory,
    CONTAINERS_CONF: '/dev/null',
    CONTAINERS_STORAGE_CONF: storage,
  }
  const podman = (...words: readonly string[]) => run(['podman', ...words], { environment })
  t.after(async () => {
    await podman('image', 'unmount', '--all')
    await rm(directory, { recursive: true, force: true })
  })
  return { directory, podman, flags: ['--signature-policy', policy, '--tls-verify=false'] }
}

type Podman = Awaited<ReturnType<typeof startPodman>>

/** Pushes two images whose layers share most files, each as zstd:chunked. */
async function pushTwo(client: Podman, { url, login }: DockerRegistry): Promise<void> {
  const { directory, podman, flags } = client
  const tree = join(directory, 'tree')
  await mkdir(tree)
  for (const name of files) await writeFile(join(tree, name), randomBytes(fileSize))
  for (const tag of ['v1', 'v2']) {
    if (tag === 'v2')
      for (const name of changed) await writeFile(join(tree, name), randomBytes(fileSize))
    const tar = join(directory, `${tag}.tar`)
    await run(['tar', '-cf', tar, '-C', tree, '.'])
    await podman('import', '-q', tar, `localhost/image:${tag}`)
    await podman(
      ...['push', '-q', ...flags, '--creds', `${login.user}:${login.password}`],
      ...['--compression-format', 'zstd:chunked', `localhost/image:${tag}`],
      `docker://${new URL(url).host}/p/image:${tag}`,
    )
  }
  await podman('rmi', '--all', '--force')
}

async function bytesSent(berth: BerthProcess): Promise<number> {
  const requests = await berth.allRequests()
  return requests.reduce((sum, { bytes }) => sum + Number(bytes), 0)
}

test('podman fetches of a zstd:chunked layer only the files that it does not have (issue 10, point 21)', async (t) => {
  const upstream = await startDockerRegistry()
  t.after(() => upstream.close())
  const client = await startPodman(t)
  await pushTwo(client, upstream)
  const { user: username, password } = upstream.login
  const berth = await startBerthProcess({
    upstreams: [{ url: upstream.url, credentials: { type: 'static', username, password } }],
  })
  t.after(() => berth.close())

  const pull = (tag: string) =>
    client.podman('pull', '-q', ...client.flags, `${berth.host}/p/image:${tag}`)
  await pull('v1')
  const before = await bytesSent(berth)
  assert.ok(before > files.length * fileSize)
  await pull('v2')
  const moved = (await bytesSent(berth)) - before
  t.diagnostic(`${before} bytes for the first image, ${moved} for the second`)
  assert.ok(moved < 2 * changed.length * fileSize, `${moved} bytes`)
  assert.ok(berth.requests().some(({ status }) => status === 206))

  const mounted = (await client.podman('image', 'mount', `${berth.host}/p/image:v2`)).trim()
  assert.deepEqual((await readdir(mounted)).toSorted(), files.toSorted())
  for (const name of files)
    assert.deepEqual(
      await readFile(join(mounted, name)),
      await readFile(join(client.directory, 'tree', name)),
    )
})
