import { type ContainerdConfig, readContainerdConfig } from './containerd.ts'
import { isAtLeast, readVersion } from './containerd-version.ts'
import type { Rooted } from './rooted.ts'

/** A container runtime on the node, and where it reads its configuration of registries. */
export type Runtime =
  | {
      readonly kind: 'containerd'
      readonly name: 'containerd' | 'k3s' | 'rke2'
      readonly version: string | undefined
      readonly config: ContainerdConfig
      /** The effective `config_path`; undefined if there is none. */
      readonly path: string | undefined
      /** Why no files can be written there; undefined if they can. */
      readonly problem?: string
    }
  | { readonly kind: 'docker'; readonly name: 'docker' }
  | { readonly kind: 'containers'; readonly name: 'cri-o' | 'podman' }

/** The kubelet, whose credential provider is in this directory. It pulls by one of the runtimes. */
export type Kubelet = {
  readonly kind: 'kubelet'
  readonly name: 'kubelet'
  readonly directory: string
}

/** What files are written for. */
export type Target = Runtime | Kubelet

type Installation = {
  readonly name: 'containerd' | 'k3s' | 'rke2'
  readonly config: string
  readonly socket: string
  /** At least one of them exists where the runtime is installed. */
  readonly traces: readonly string[]
}

const rancher = (name: 'k3s' | 'rke2'): Installation => ({
  name,
  config: `/var/lib/rancher/${name}/agent/etc/containerd/config.toml`,
  socket: '/run/k3s/containerd/containerd.sock',
  traces: [`/var/lib/rancher/${name}/agent/etc/containerd`],
})

const places: readonly Installation[] = [
  {
    name: 'containerd',
    config: '/etc/containerd/config.toml',
    socket: '/run/containerd/containerd.sock',
    traces: [
      '/etc/containerd',
      '/run/containerd/containerd.sock',
      '/usr/bin/containerd',
      '/usr/local/bin/containerd',
    ],
  },
  rancher('k3s'),
  rancher('rke2'),
]

export const directories = {
  /** containerd's default since 2.2. */
  containerd: '/etc/containerd/certs.d:/etc/docker/certs.d',
  docker: '/etc/docker/certs.d',
  containers: '/etc/containers/certs.d',
  dropIns: '/etc/containers/registries.conf.d',
} as const

const traces = {
  docker: [
    '/usr/bin/dockerd',
    '/usr/local/bin/dockerd',
    '/run/docker.sock',
    '/etc/docker/daemon.json',
  ],
  crio: ['/etc/crio', '/usr/bin/crio', '/usr/local/bin/crio', '/run/crio/crio.sock'],
  podman: ['/usr/bin/podman', '/usr/local/bin/podman'],
} as const

/** The version of the containerd at a socket, if it answers. */
type VersionOf = (socket: string) => Promise<string | undefined>

/** The runtimes of a node. Rejects if a file may not be read. */
export async function findRuntimes(
  rooted: Rooted,
  versionOf: VersionOf = readVersion,
): Promise<readonly Runtime[]> {
  const found: Runtime[] = []
  for (const place of places) {
    if (await existsAny(rooted, place.traces))
      found.push(await readContainerd(rooted, place, versionOf))
  }
  if (await existsAny(rooted, traces.docker)) found.push({ kind: 'docker', name: 'docker' })
  const isCrio = await existsAny(rooted, traces.crio)
  if (isCrio || (await existsAny(rooted, traces.podman)))
    found.push({ kind: 'containers', name: isCrio ? 'cri-o' : 'podman' })
  return found
}

async function readContainerd(
  rooted: Rooted,
  { name, config: file, socket }: Installation,
  versionOf: VersionOf,
): Promise<Runtime> {
  // Checked first: `follow` fails in a directory that may not be read.
  const isThere = await rooted.exists(socket)
  const version = isThere ? await versionOf(await rooted.follow(socket)) : undefined
  const runtime = { kind: 'containerd', name, version } as const
  try {
    const config = await readContainerdConfig(rooted, file)
    const path = pathOf(config, version)
    const isUsable = path === undefined || /^\/[^$]*$/.test(path)
    if (isUsable) return { ...runtime, config, path }
    const problem = `config_path ${path} is not an absolute path`
    return { ...runtime, config, path: undefined, problem }
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    return { ...runtime, config: unreadable, path: undefined, problem }
  }
}

const unreadable: ContainerdConfig = {
  file: undefined,
  format: 0,
  path: '',
  pullsByCri: false,
  hasMirrors: false,
  isCriDisabled: false,
}

/** 2.2 introduced a default, which `mirrors` disables; format 4 is newer than that. */
function pathOf(config: ContainerdConfig, version: string | undefined): string | undefined {
  if (config.path !== '') return config.path
  const hasDefault = config.format >= 4 || (version !== undefined && isAtLeast(version, 2, 2))
  return hasDefault && !config.hasMirrors ? directories.containerd : undefined
}

async function existsAny(rooted: Rooted, paths: readonly string[]): Promise<boolean> {
  const found = await Promise.all(paths.map((path) => rooted.exists(path)))
  return found.includes(true)
}
