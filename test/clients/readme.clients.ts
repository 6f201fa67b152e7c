import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { eventually } from '../support/berth.ts'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import { type Containerd, startContainerd } from '../support/containerd.ts'
import { createCri } from '../support/cri.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { startDockerd } from '../support/dockerd.ts'
import { run, tool } from '../support/programs.ts'
import { makeRunnableImage } from '../support/runnable-image.ts'

const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8')
const names = {
  ...{ PROJECT: 'my-project', REPO: 'my-repository', CHART: 'chart' },
  ...{ ARTIFACT: 'artifact', FILE: 'hello.txt' },
}
const version = '0.1.0'

/** Rows of the table of clients: the client's name and its command, as README prints them. */
const rows = [...readme.matchAll(/^\| ([a-z]+) +\| `([^`]+)` +\|$/gm)].map(
  ([, client = '', command = '']) => ({ client, command }),
)
/** The commands of README's section about pushes. */
const [, pushLines = ''] = /^### Push\n\n```sh\n([\s\S]*?)^```/m.exec(readme) ?? []
const pushes = pushLines
  .trim()
  .split('\n')
  .map((line) => line.replace(/\s+# .*/, ''))
/** Configuration files of mirrors, by the language of the code block and a word that is in it. */
const sample = (word: string) =>
  [...readme.matchAll(/^```toml\n([\s\S]*?)^```/gm)].find(([block]) => block.includes(word))?.[1]

describe("README's commands, typed as they stand", () => {
  let directory = ''
  let registry: DockerRegistry
  let berth: BerthProcess
  let containerd: Containerd
  const closing: (() => Promise<void>)[] = []
  const programs = new Map<string, readonly string[]>()

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'berth-readme-'))
    registry = await startDockerRegistry()
    const { url, login } = registry
    const credentials = { type: 'static', username: login.user, password: login.password }
    berth = await startBerthProcess({
      upstreams: [
        { url, credentials },
        { prefix: 'docker.io', url, credentials },
      ],
      auth: {
        access: [{ users: ['*'], repositories: ['**'], actions: ['pull', 'push'] }],
      },
    })
    await registry.put('library/busybox', 'latest', await makeRunnableImage())
    await pushArtifacts(registry, directory)
    await mkdir(join(directory, 'containerd'))
    await mkdir(join(directory, 'docker'))
    containerd = await startContainerd({
      program: tool('containerd'),
      directory: join(directory, 'containerd'),
      version: 3,
    })
    const dockerd = await startDockerd(join(directory, 'docker'))
    closing.push(containerd.close, dockerd.kill)
    const storage = ['--storage-driver', 'vfs', '--root', join(directory, 'storage')]
    const policy = join(directory, 'policy.json')
    await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
    const library = [...storage, '--runroot', join(directory, 'run')]
    programs.set('docker', ['/usr/bin/docker', '--host', dockerd.address])
    programs.set('ctr', [tool('ctr'), '--address', containerd.socket])
    programs.set('podman', ['podman', ...library])
    programs.set('buildah', ['buildah', ...library])
    programs.set('skopeo', ['skopeo', '--policy', policy])
    programs.set('crane', [tool('crane')])
    programs.set('helm', [tool('helm4')])
    programs.set('oras', [tool('oras')])
  })

  after(async () => {
    for (const close of closing.toReversed()) await close()
    await berth?.close()
    await registry?.close()
    await rm(directory, { recursive: true, force: true })
  })

  const host = () => berth.host
  const environment = () => ({
    HOME: directory,
    XDG_RUNTIME_DIR: directory,
    CONTAINERS_CONF: '/dev/null',
    CONTAINERS_REGISTRIES_CONF: join(directory, 'registries.conf'),
  })

  test('name every client that README promises', () => {
    assert.deepEqual(
      rows.map(({ client }) => client),
      ['docker', 'containerd', 'crictl', 'podman', 'buildah', 'skopeo', 'crane', 'helm', 'oras'],
    )
  })

  const typed = (line: string): readonly string[] =>
    line
      .replaceAll('localhost:30026', host())
      .replace(/PROJECT|REPO|CHART|ARTIFACT|FILE/g, (name) => names[name as keyof typeof names])
      .replace('VERSION', version)
      .replace(':TAG', ':v1')
      .split(' ')
  const runTyped = ([program = '', ...rest]: readonly string[]) =>
    run([...(programs.get(program) ?? [program]), ...rest], {
      directory,
      environment: environment(),
    })

  for (const { client, command } of rows)
    test(`${client}: ${command}`, async () => {
      await writeFile(join(directory, 'registries.conf'), 'unqualified-search-registries = []\n')
      const words = typed(command)
      // crictl is a front end of the runtime's CRI, which is asked directly.
      if (words[0] === 'crictl')
        return createCri(containerd.socket).pullImage(words.at(-1) ?? '', {
          user: '',
          password: '',
        })
      await runTyped(words)
    })

  test('name every client that README promises to push', () => {
    assert.deepEqual(
      pushes.map((line) => line.split(' ')[0]),
      ['docker', 'podman', 'skopeo', 'crane', 'ctr', 'helm', 'oras'],
    )
  })

  // What the pulls above left behind is pushed: images under another name, an archive, a layout, a chart.
  for (const command of pushes)
    test(`push: ${command}`, async () => {
      const words = typed(command)
      const [program = ''] = words
      const tag = program === 'ctr' ? ['images', 'tag'] : ['tag']
      const pulled = `${host()}/docker.io/library/busybox:latest`
      if (['docker', 'podman', 'ctr'].includes(program))
        await runTyped([program, ...tag, pulled, `${host()}/local/app:1.2`])
      const before = await berth.metric('berth_manifests_pushed_total')
      await runTyped(words)
      assert.ok((await berth.metric('berth_manifests_pushed_total')) > before)
    })

  test('podman pulls docker.io/library/busybox through the mirror that README configures', async () => {
    const text = sample('[[registry.mirror]]')
    assert.ok(text)
    await writeFile(join(directory, 'registries.conf'), text.replaceAll('localhost:30026', host()))
    const before = berth.requests().length
    await run([...(programs.get('podman') ?? []), 'pull', 'docker.io/library/busybox'], {
      directory,
      environment: environment(),
    })
    await eventually('the pull is in the log', () => berth.requests().length > before)
  })

  test('containerd pulls docker.io/library/busybox through the mirror that README configures', async () => {
    const text = sample('dial_timeout')
    assert.ok(text)
    const place = join(containerd.certificates, 'docker.io')
    await mkdir(place)
    await writeFile(join(place, 'hosts.toml'), text.replaceAll('localhost:30026', host()))
    const before = berth.requests().length
    await createCri(containerd.socket).pullImage('docker.io/library/busybox:latest', {
      user: '',
      password: '',
    })
    await eventually('the pull is in the log', () => berth.requests().length > before)
  })
})

/** A chart and an artifact, by the programs that people push them with. */
async function pushArtifacts({ url, login }: DockerRegistry, directory: string): Promise<void> {
  const host = new URL(url).host
  const { PROJECT, REPO, CHART, ARTIFACT } = names
  const chart = join(directory, CHART)
  const environment = { HOME: directory }
  await mkdir(chart)
  await writeFile(
    join(chart, 'Chart.yaml'),
    `apiVersion: v2\nname: ${CHART}\nversion: ${version}\n`,
  )
  await writeFile(join(directory, 'hello.txt'), 'hello\n')
  const options = { directory, environment }
  const helm = tool('helm4')
  const { user, password } = login
  await run([helm, 'package', chart], options)
  await run([helm, 'registry', 'login', '--plain-http', host, '-u', user, '--password-stdin'], {
    ...options,
    input: password,
  })
  await run(
    [helm, 'push', '--plain-http', `${CHART}-${version}.tgz`, `oci://${host}/${PROJECT}/${REPO}`],
    options,
  )
  await run(
    [
      ...[tool('oras'), 'push', '--plain-http', '--username', user, '--password-stdin'],
      ...[`${host}/${PROJECT}/${REPO}/${ARTIFACT}:v1`, 'hello.txt'],
    ],
    { ...options, input: password },
  )
}
