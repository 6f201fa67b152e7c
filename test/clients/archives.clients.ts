import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { type BerthProcess, startBerthProcess } from '../support/berth-process.ts'
import { main } from '../support/command.ts'
import { useDirectory } from '../support/directory.ts'
import { type DockerRegistry, startDockerRegistry } from '../support/docker-registry.ts'
import { startDockerd } from '../support/dockerd.ts'
import { run, tool } from '../support/programs.ts'

const name = 'host.example/team/app:1.2'
const directory = await useDirectory()
const actions = ['pull', 'push', 'delete']
const config = {
  upstreams: [],
  auth: { access: [{ users: ['*'], repositories: ['**'], actions }] },
}

let berth: BerthProcess
let docker: DockerRegistry
let daemon: Awaited<ReturnType<typeof startDockerd>>
/** Of the image that all archives have. */
let diffIds: string

const environment = { HOME: directory, XDG_RUNTIME_DIR: directory, CONTAINERS_CONF: '/dev/null' }
const storage = (program: string) => [
  ...[program, '--storage-driver', 'vfs'],
  ...['--root', join(directory, 'root'), '--runroot', join(directory, 'run')],
]
const skopeo = (...words: readonly string[]) => run(['skopeo', '--insecure-policy', ...words])
const berthCommand = (...words: readonly string[]) =>
  run([process.execPath, main, ...words], { environment: { HOME: directory } })
const at = (file: string) => join(directory, file)

async function diffIdsOf(image: string, ...flags: readonly string[]): Promise<string> {
  const text = await skopeo('inspect', '--config', ...flags, image)
  const { rootfs } = JSON.parse(text) as { rootfs: { diff_ids: readonly string[] } }
  return rootfs.diff_ids.join(' ')
}

before(async () => {
  berth = await startBerthProcess(config)
  docker = await startDockerRegistry()
  daemon = await startDockerd(
    await mkdir(at('docker'), { recursive: true }).then(() => at('docker')),
  )
  const layers = []
  for (const layer of ['a', 'b']) {
    await mkdir(at(`tree-${layer}/etc`), { recursive: true })
    await writeFile(at(`tree-${layer}/etc/${layer}`), randomBytes(300_000))
    await run(['tar', '-cf', at(`${layer}.tar`), '-C', at(`tree-${layer}`), '.'])
    layers.push('-f', at(`${layer}.tar`))
  }
  await run([
    tool('crane'),
    'append',
    '--oci-empty-base',
    ...layers,
    '-t',
    name,
    '-o',
    at('crane.tar'),
  ])
  diffIds = await diffIdsOf(`docker-archive:${at('crane.tar')}`)
})
after(async () => {
  await daemon.kill()
  await docker.close()
  await berth.close()
})

/** Writes the image to a file or directory, each with another program. */
const writers: Readonly<Record<string, () => Promise<string>>> = {
  crane: async () => at('crane.tar'),
  'skopeo, docker-archive': () => convert('docker-archive', 'skopeo-docker.tar', `:${name}`),
  'skopeo, oci-archive': () => convert('oci-archive', 'skopeo-oci.tar', ':1.2'),
  'skopeo, OCI layout': () => convert('oci', 'skopeo-layout', ':1.2'),
  'skopeo, compressed with gzip': async () => {
    const file = await convert('docker-archive', 'compressed.tar', `:${name}`)
    await run(['gzip', '-f', file])
    return `${file}.gz`
  },
  'podman save': async () => {
    await run([...storage('podman'), 'load', '-q', '-i', at('crane.tar')], { environment })
    await run([...storage('podman'), 'save', '-q', '-o', at('podman.tar'), name], { environment })
    return at('podman.tar')
  },
  'podman save, oci-archive': async () => {
    const save = ['save', '-q', '--format', 'oci-archive', '-o', at('podman-oci.tar'), name]
    await run([...storage('podman'), ...save], { environment })
    return at('podman-oci.tar')
  },
  'buildah push, oci-archive': async () => {
    const push = ['push', '-q', name, `oci-archive:${at('buildah.tar')}`]
    await run([...storage('buildah'), ...push], { environment })
    return at('buildah.tar')
  },
  'docker save': async () => {
    await run(['docker', '--host', daemon.address, 'load', '-q', '-i', at('crane.tar')])
    await run(['docker', '--host', daemon.address, 'save', '-o', at('docker.tar'), name])
    return at('docker.tar')
  },
}

async function convert(format: string, file: string, suffix: string): Promise<string> {
  await skopeo('copy', '-q', `docker-archive:${at('crane.tar')}`, `${format}:${at(file)}${suffix}`)
  return at(file)
}

suite('an archive that a real program wrote has the same layers in a registry', () => {
  for (const [writer, write] of Object.entries(writers))
    test(writer, async () => {
      const file = await write()
      const tag = writer.replaceAll(/[^a-z]+/g, '-')
      const { user, password } = docker.login
      await writeFile(at('password'), password)
      const login = ['-u', user, '--password-file', at('password')]
      const other = new URL(docker.url).host
      await berthCommand('image', 'push', '-q', file, `${berth.host}/local/app:${tag}`)
      await berthCommand('image', 'push', '-q', ...login, file, `${other}/team/app:${tag}`)
      assert.equal(
        await diffIdsOf(`docker://${berth.host}/local/app:${tag}`, '--tls-verify=false'),
        diffIds,
      )
      const flags = ['--tls-verify=false', '--creds', `${user}:${password}`]
      assert.equal(await diffIdsOf(`docker://${other}/team/app:${tag}`, ...flags), diffIds)
      // All bytes, which skopeo verifies.
      const copy = `oci:${at(`copy-${tag}`)}:1`
      await skopeo(
        'copy',
        '-q',
        '--src-tls-verify=false',
        `docker://${berth.host}/local/app:${tag}`,
        copy,
      )
    })
})

test('what berth pull writes can be read by docker, podman and skopeo', async () => {
  await berthCommand('image', 'push', '-q', at('crane.tar'), `${berth.host}/local/back:1`)
  await berthCommand('pull', `${berth.host}/local/back:1`, at('back.tar'))
  assert.equal(await diffIdsOf(`docker-archive:${at('back.tar')}`), diffIds)
  assert.equal(await diffIdsOf(`oci-archive:${at('back.tar')}`), diffIds)
  const loaded = await run(['docker', '--host', daemon.address, 'load', '-i', at('back.tar')])
  assert.match(loaded, /Loaded image: .*local\/back:1/)
  const podman = await run([...storage('podman'), 'load', '-i', at('back.tar')], { environment })
  assert.match(podman, /Loaded image.*local\/back:1/)
})
