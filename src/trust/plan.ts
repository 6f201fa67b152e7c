import { join } from 'node:path'
import { isLocalhost, type RegistryHost, type Server } from './addresses.ts'
import { hostDirectory, linesToAdd } from './containerd.ts'
import { dialTimeoutFor } from './dial-timeout.ts'
import { type CredentialProvider, planKubelet } from './kubelet.ts'
import type { Rooted } from './rooted.ts'
import { directories, type Target } from './runtimes.ts'
import { writeDirectories } from './search-path.ts'
import { authorityFile, mirrorHosts, mirrorRegistry, ownHosts, ownRegistry } from './texts.ts'

/** What the runtimes of a node must be configured for. */
export type TrustRequest = {
  readonly registries: readonly { readonly registry: RegistryHost; readonly server: Server }[]
  readonly mirrors: readonly RegistryHost[]
  /** PEM certificates of the authority of Berth's certificate; undefined: one that the node trusts. */
  readonly authority: string | undefined
  /** Addresses of the node, to which connections are fast. */
  readonly nodeAddresses: readonly string[]
  /** By which a kubelet hands the tokens of pods on; undefined: it does not. */
  readonly credentialProvider: CredentialProvider | undefined
}

type PlannedFile = {
  /** The node's path. */
  readonly path: string
  /** The content may include what was in the file before. */
  readonly body: (prior: string) => string
}

/** The files for one runtime, and what an administrator has to do. */
export type Plan = {
  readonly files: readonly PlannedFile[]
  /** Whether the runtime can pull images once the files exist. */
  readonly canPull: boolean
  /** What an administrator has to change on the node. */
  readonly problems: readonly string[]
  /** Information for the administrator. */
  readonly notes: readonly string[]
}

export function planFor(rooted: Rooted, runtime: Target, request: TrustRequest): Promise<Plan> {
  switch (runtime.kind) {
    case 'containerd':
      return planContainerd(rooted, runtime, request)
    case 'docker':
      return Promise.resolve(planDocker(request))
    case 'containers':
      return Promise.resolve(planContainers(runtime.name, request))
    case 'kubelet':
      return request.credentialProvider === undefined
        ? Promise.resolve(emptyPlan)
        : planKubelet(rooted, request.credentialProvider)
  }
}

type Containerd = Extract<Target, { kind: 'containerd' }>

async function planContainerd(
  rooted: Rooted,
  runtime: Containerd,
  request: TrustRequest,
): Promise<Plan> {
  const { path, version } = runtime
  if (runtime.config.isCriDisabled)
    return { ...emptyPlan, notes: ['its CRI plugin is disabled, so kubelets do not use it'] }
  if (runtime.problem !== undefined) return { ...emptyPlan, problems: [runtime.problem] }
  if (path === undefined) return withoutPath(rooted, runtime, request)
  const files = await filesBelow(rooted, writeDirectories({ path, version }), request)
  const notes =
    writeDirectories({ path, version }).length > 1
      ? [
          'config_path is a list, which containerd 2.1 and later may read as the name of one directory (containerd#12808); the files are in both places',
        ]
      : []
  return { files, canPull: true, problems: [], notes }
}

async function filesBelow(
  rooted: Rooted,
  below: readonly string[],
  request: TrustRequest,
): Promise<readonly PlannedFile[]> {
  const files: PlannedFile[] = []
  const add = async (registry: RegistryHost, server: Server, body: PlannedFile['body']) => {
    for (const each of below) {
      const directory = await hostDirectory(rooted, each, registry)
      // The lines of the other file come first.
      if (usesAuthority(server, request))
        files.push({ path: join(directory, authorityFile), body: authorityOf(request) })
      files.push({ path: join(directory, 'hosts.toml'), body })
    }
  }
  for (const { registry, server } of request.registries)
    await add(registry, server, () => ownHosts(berthAt(server, request)))
  const server = request.registries[0]?.server
  if (server !== undefined)
    for (const mirror of request.mirrors)
      await add(mirror, server, (prior) => mirrorHosts(mirror, berthAt(server, request), prior))
  return files
}

function berthAt(server: Server, request: TrustRequest) {
  const dialTimeout = dialTimeoutFor(server, request.nodeAddresses)
  return { server, hasAuthority: usesAuthority(server, request), dialTimeout }
}

/**
 * Such a containerd uses plain HTTP for localhost, so it may need no file. If its version is unknown, it
 * may use the default config_path of 2.2.
 */
async function withoutPath(
  rooted: Rooted,
  runtime: Containerd,
  request: TrustRequest,
): Promise<Plan> {
  const { name, version, config } = runtime
  const what = `${name}${version === undefined ? '' : ` ${version}`}`
  const mayUseDefault = version === undefined && !config.hasMirrors
  const defaults = mayUseDefault ? writeDirectories({ path: directories.containerd, version }) : []
  const files = await filesBelow(rooted, defaults, request)
  const needsNoFile =
    request.mirrors.length === 0 &&
    request.registries.every((each) => isLocalByName(each) && !each.server.isTls)
  if (needsNoFile) {
    const notes = [`${what} has no config_path and uses plain HTTP for localhost`]
    return { files, canPull: true, notes, problems: [] }
  }
  return { ...emptyPlan, files, problems: [linesFor(what, runtime)] }
}

function linesFor(what: string, { version, config }: Containerd): string {
  const where = config.file ?? '/etc/containerd/config.toml'
  // A new file also needs the version of the format.
  const format = config.format || (version?.startsWith('2.') ? 3 : 2)
  const lines = linesToAdd(format, '/etc/containerd/certs.d')
  const all = config.file === undefined ? `version = ${format}\n${lines}` : lines
  const unknown =
    version === undefined
      ? ' and its version is unknown, because its socket is not below --root (2.2 and later need no config_path)'
      : ''
  const mirrors = config.hasMirrors
    ? '; move its registry.mirrors to hosts.toml files, because containerd does not accept both'
    : ''
  return `${what} has no config_path${unknown}: add these lines to ${where} and restart it once${mirrors}:\n${all}`
}

function planDocker(request: TrustRequest): Plan {
  const files = request.registries
    .filter(({ server }) => usesAuthority(server, request))
    .map(({ registry }) => authorityIn(directories.docker, registry, request))
  const problems = request.registries.flatMap((each) => {
    const { registry, server } = each
    if (registry !== server.host)
      return [`docker pulls from ${registry} itself and cannot be redirected to ${server.origin}`]
    return server.isTls || isLocalhost(registry)
      ? []
      : [
          `docker uses TLS for ${registry}: add it to /etc/docker/daemon.json and reload it:\n{ "insecure-registries": ["${registry}"] }`,
        ]
  })
  const notes = request.mirrors.map(
    (mirror) => `docker has no mirror configuration for ${mirror} and pulls from it directly`,
  )
  return { files, canPull: problems.length === 0, problems, notes }
}

function planContainers(name: 'cri-o' | 'podman', request: TrustRequest): Plan {
  const files: PlannedFile[] = []
  for (const { registry, server } of request.registries) {
    if (usesAuthority(server, request))
      files.push(authorityIn(directories.containers, server.host, request))
    if (!server.isTls || !isOwnName({ registry, server }))
      files.push(dropIn(registry, ownRegistry(registry, server)))
  }
  const server = request.registries[0]?.server
  if (server !== undefined)
    for (const mirror of request.mirrors) files.push(dropIn(mirror, mirrorRegistry(mirror, server)))
  const isReloaded = name === 'cri-o' && files.some(({ path }) => path.endsWith('.conf'))
  const isRedirected =
    request.mirrors.length > 0 || request.registries.some((each) => !isOwnName(each))
  const notes = [
    ...(isReloaded
      ? [
          'cri-o reads registries.conf.d only when it is reloaded (SIGHUP) or with auto_reload_registries',
        ]
      : []),
    // containers/image drops a pull's credentials at any other host (docker_image_src.go).
    ...(isRedirected
      ? [
          `${name} sends a pod's imagePullSecret only to the host in the image name: pulls through this mirror are anonymous or use the node's own auth file`,
        ]
      : []),
  ]
  return { files, canPull: true, problems: [], notes }
}

const emptyPlan: Plan = { files: [], canPull: false, problems: [], notes: [] }

function isLocalByName(each: TrustRequest['registries'][number]): boolean {
  return isOwnName(each) && isLocalhost(each.registry)
}

function isOwnName({ registry, server }: TrustRequest['registries'][number]): boolean {
  return registry === server.host
}

function usesAuthority(server: Server, { authority }: TrustRequest): boolean {
  return server.isTls && authority !== undefined
}

function authorityIn(directory: string, host: string, request: TrustRequest): PlannedFile {
  return { path: join(directory, host, authorityFile), body: authorityOf(request) }
}

function authorityOf({ authority = '' }: TrustRequest): () => string {
  return () => authority
}

function dropIn(registry: RegistryHost, text: string): PlannedFile {
  const name = registry.replace(/[[\]]/g, '').replaceAll(':', '_')
  return { path: join(directories.dropIns, `berth-${name}.conf`), body: () => text }
}
