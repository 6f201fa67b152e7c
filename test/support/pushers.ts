import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startContainerd } from './containerd.ts'
import { containersStorageClient } from './containers-storage.ts'
import { craneClient } from './crane-client.ts'
import { newCtrClient, oldCtrClient } from './ctr-client.ts'
import { dockerClient } from './docker-client.ts'
import { startDockerd } from './dockerd.ts'
import { run, tool } from './programs.ts'
import type { ClientKind } from './pulling.ts'
import type { Push, Pusher } from './pushing.ts'
import { skopeoClient } from './skopeo-client.ts'

/** Where a client finds the password, in the form of docker's configuration. */
export async function writeDockerConfig({ directory, host, login }: Push): Promise<string> {
  const auth = Buffer.from(`${login.user}:${login.password}`).toString('base64')
  await writeFile(join(directory, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }))
  return directory
}

async function acceptAnything(directory: string): Promise<string> {
  const policy = join(directory, 'policy.json')
  await writeFile(policy, JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }))
  return policy
}

async function pushBySkopeo(push: Push): Promise<void> {
  const { directory, host, layout, tag, name, login } = push
  const policy = await acceptAnything(directory)
  const flags = ['--all', '--preserve-digests', '--dest-tls-verify=false']
  const creds = ['--dest-creds', `${login.user}:${login.password}`]
  await run(
    [
      ...['skopeo', '--policy', policy, 'copy', ...flags, ...creds],
      ...[`oci:${layout}:${tag}`, `docker://${host}/${name}`],
    ],
    { environment: { HOME: directory, TMPDIR: join(directory, 'tmp') } },
  )
}

export const skopeo: Pusher = {
  client: skopeoClient,
  keepsBytes: true,
  push: pushBySkopeo,
  pushIndex: pushBySkopeo,
}

async function pushByCrane(push: Push): Promise<void> {
  const environment = { HOME: push.directory, DOCKER_CONFIG: await writeDockerConfig(push) }
  await run([tool('crane'), 'push', push.layout, `${push.host}/${push.name}`], { environment })
}

export const crane: Pusher = {
  client: craneClient,
  keepsBytes: true,
  push: pushByCrane,
  pushIndex: pushByCrane,
}

/** They check nothing on pulling that crane does not check too. */
async function pushByRegctl({ directory, host, layout, tag, name, login }: Push): Promise<void> {
  const environment = { HOME: directory, REGCTL_CONFIG: join(directory, 'regctl.json') }
  const regctl = (...words: readonly string[]) => run([tool('regctl'), ...words], { environment })
  await regctl('registry', 'set', '--skip-check', '--tls', 'disabled', host)
  await regctl(
    ...['registry', 'login', '--skip-check', '-u', login.user, '-p', login.password, host],
  )
  await regctl('image', 'copy', `ocidir://${layout}:${tag}`, `${host}/${name}`)
}

export const regctl: Pusher = {
  client: { ...craneClient, name: 'regctl' },
  keepsBytes: true,
  push: pushByRegctl,
  pushIndex: pushByRegctl,
}

async function pushByOras({ directory, host, layout, tag, name, login }: Push): Promise<void> {
  await run(
    [
      ...[tool('oras'), 'cp', '--from-oci-layout', `${layout}:${tag}`, '--to-plain-http'],
      ...['--to-username', login.user, '--to-password', login.password, `${host}/${name}`],
    ],
    { environment: { HOME: directory } },
  )
}

export const oras: Pusher = {
  client: { ...craneClient, name: 'oras' },
  keepsBytes: true,
  push: pushByOras,
  pushIndex: pushByOras,
}

/** The image goes through docker's own store: the archive is what `docker load` takes. */
async function pushByDocker(push: Push): Promise<void> {
  const { directory, host, layout, tag, name } = push
  const archive = join(directory, 'image.tar')
  const policy = await acceptAnything(directory)
  await run([
    ...['skopeo', '--policy', policy, 'copy', `oci:${layout}:${tag}`],
    `docker-archive:${archive}:${host}/${name}`,
  ])
  const client = join(directory, 'client')
  await mkdir(client)
  await writeDockerConfig({ ...push, directory: client })
  const { address, kill } = await startDockerd(directory)
  const docker = (...words: readonly string[]) =>
    run(['/usr/bin/docker', '--config', client, '--host', address, ...words])
  try {
    await docker('load', '--input', archive)
    await docker('push', `${host}/${name}`)
  } finally {
    await kill()
  }
}

/** Of images that are there already: `docker manifest` asks the registry for them. */
async function pushIndexByDocker(push: Push): Promise<void> {
  const { directory, host, layout, tag, name } = push
  const environment = { HOME: directory, DOCKER_CONFIG: await writeDockerConfig(push) }
  const policy = await acceptAnything(directory)
  const members = ['amd64', 'arm64'].map((architecture) => `${name}-${architecture}`)
  for (const [at, member] of members.entries()) {
    const copied = join(directory, `member-${at}`)
    await run([
      ...['skopeo', '--policy', policy, '--override-arch', at === 0 ? 'amd64' : 'arm64'],
      ...['copy', `oci:${layout}:${tag}`, `oci:${copied}:${tag}`],
    ])
    await pushByDocker({ ...push, layout: copied, name: member, directory: await below(push, at) })
  }
  const docker = (...words: readonly string[]) =>
    run(['/usr/bin/docker', 'manifest', ...words], { environment })
  const images = [name, ...members].map((image) => `${host}/${image}`)
  await docker('create', '--insecure', ...images)
  await docker('push', '--insecure', `${host}/${name}`)
}

async function below({ directory }: Push, at: number): Promise<string> {
  const made = join(directory, `docker-${at}`)
  await mkdir(made)
  return made
}

export const docker: Pusher = {
  client: dockerClient,
  keepsBytes: false,
  push: pushByDocker,
  pushIndex: pushIndexByDocker,
}

/** podman and buildah: the image goes through their storage. */
function containersPusher(program: 'podman' | 'buildah'): Pusher {
  const prepare = async ({ directory }: Push) => {
    const policy = await acceptAnything(directory)
    const registries = join(directory, 'registries.conf')
    await writeFile(registries, 'unqualified-search-registries = []\n')
    const environment = {
      HOME: directory,
      XDG_RUNTIME_DIR: directory,
      TMPDIR: join(directory, 'tmp'),
      CONTAINERS_CONF: '/dev/null',
      CONTAINERS_REGISTRIES_CONF: registries,
    }
    const storage = ['--storage-driver', 'vfs', '--root', join(directory, 'root')]
    const command = [program, ...storage, '--runroot', join(directory, 'run')]
    return {
      policy: ['--signature-policy', policy],
      call: (...words: readonly string[]) => run([...command, ...words], { environment }),
    }
  }
  const target = ({ host, name, login }: Push) => ({
    flags: ['--tls-verify=false', '--creds', `${login.user}:${login.password}`],
    image: `docker://${host}/${name}`,
  })
  return {
    client: containersStorageClient(program),
    keepsBytes: false,
    push: async (push) => {
      const { policy, call } = await prepare(push)
      const { flags, image } = target(push)
      const id = await call('pull', '--quiet', ...policy, `oci:${push.layout}:${push.tag}`)
      await call('push', ...policy, ...flags, id.trim(), image)
    },
    pushIndex: async (push) => {
      const { call } = await prepare(push)
      const { flags, image } = target(push)
      await call('manifest', 'create', 'localhost/list')
      await call('manifest', 'add', '--all', 'localhost/list', `oci:${push.layout}:${push.tag}`)
      await call('manifest', 'push', '--all', ...flags, 'localhost/list', image)
    },
  }
}

export const podman = containersPusher('podman')
export const buildah = containersPusher('buildah')

type CtrProgram = { readonly containerd: string; readonly ctr: string; readonly version: 2 | 3 }

function ctrPusher(client: ClientKind, { containerd, ctr, version }: CtrProgram): Pusher {
  const push = async ({ directory, host, layout, tag, name, login }: Push): Promise<void> => {
    const archive = join(directory, 'image.tar')
    const copy = join(directory, 'layout')
    await run(['cp', '-r', layout, copy])
    await rename(copy, { from: tag, to: `${host}/${name}` })
    await run(['tar', '--create', '--file', archive, '--directory', copy, '.'])
    const daemon = await startContainerd({ program: containerd, directory, version })
    const images = (...words: readonly string[]) =>
      run([ctr, '--address', daemon.socket, 'images', ...words], {
        environment: { HOME: directory },
      })
    try {
      await images('import', '--all-platforms', '--no-unpack', archive)
      const credentials = ['--user', `${login.user}:${login.password}`]
      await images('push', '--plain-http', ...credentials, `${host}/${name}`)
    } finally {
      await daemon.close()
    }
  }
  return { client, keepsBytes: true, push, pushIndex: push }
}

/** containerd names an imported image by an annotation. */
async function rename(layout: string, { from, to }: { from: string; to: string }): Promise<void> {
  const file = join(layout, 'index.json')
  const text = await readFile(file, 'utf8')
  const named = `"io.containerd.image.name":${JSON.stringify(to)}`
  const old = `"org.opencontainers.image.ref.name":"${from}"`
  await writeFile(file, text.replace(old, `${old},${named}`))
}

export const oldCtr = ctrPusher(oldCtrClient, {
  containerd: '/usr/bin/containerd',
  ctr: '/usr/bin/ctr',
  version: 2,
})
export const newCtr = ctrPusher(newCtrClient, {
  containerd: tool('containerd'),
  ctr: tool('ctr'),
  version: 3,
})
