import { join } from 'node:path'
import { isLocalhost, type RegistryHost, type Server } from './addresses.ts'
import { hostDirectory, linesToAdd } from './containerd.ts'
import { dialTimeoutFor } from './dial-timeout.ts'
import type { Rooted } from './rooted.ts'
import { directories, type Runtime } from './runtimes.ts'
import { writtenIn } from './search-path.ts'
import { authorityFile, mirrorHosts, mirrorRegistry, ownHosts, ownRegistry } from './texts.ts'

/** What runtimes are to know. */
export type Wish = {
  readonly registries: readonly { readonly registry: RegistryHost; readonly server: Server }[]
  readonly mirrors: readonly RegistryHost[]
  /** PEM, of those who sign our certificate; undefined: those whom the node believes anyway. */
  readonly authority: string | undefined
  /** The node's own: a connection to them takes no time. */
  readonly nodeAddresses: readonly string[]
}

type PlannedFile = {
  /** The node's path. */
  readonly path: string
  /** What is there before us may be part of it. */
  readonly body: (prior: string) => string
}

/** What is to be done for one runtime. */
export type Plan = {
  readonly files: readonly PlannedFile[]
  /** Whether images can be pulled by it once the files are there. */
  readonly serves: boolean
  /** What has to be changed on the node, which is not ours to change. */
  readonly trouble: readonly string[]
  /** What is worth knowing. */
  readonly notes: readonly string[]
}

export function planFor(rooted: Rooted, runtime: Runtime, wish: Wish): Promise<Plan> {
  switch (runtime.kind) {
    case 'containerd':
      return planContainerd(rooted, runtime, wish)
    case 'docker':
      return Promise.resolve(planDocker(wish))
    case 'containers':
      return Promise.resolve(planContainers(runtime.name, wish))
  }
}

type Containerd = Extract<Runtime, { kind: 'containerd' }>

async function planContainerd(rooted: Rooted, runtime: Containerd, wish: Wish): Promise<Plan> {
  const { path, version } = runtime
  if (runtime.config.isCriDisabled)
    return { ...nothing, notes: ['its CRI plugin is off: kubelets do not use it'] }
  if (runtime.trouble !== undefined) return { ...nothing, trouble: [runtime.trouble] }
  if (path === undefined) return withoutPath(rooted, runtime, wish)
  const files = await filesBelow(rooted, writtenIn({ path, version }), wish)
  const notes =
    writtenIn({ path, version }).length > 1
      ? [
          'config_path is a list, which containerd from 2.1 on may take for the name of one directory (containerd#12808): the files are in both',
        ]
      : []
  return { files, serves: true, trouble: [], notes }
}

async function filesBelow(
  rooted: Rooted,
  below: readonly string[],
  wish: Wish,
): Promise<readonly PlannedFile[]> {
  const files: PlannedFile[] = []
  const add = async (registry: RegistryHost, server: Server, body: PlannedFile['body']) => {
    for (const each of below) {
      const directory = await hostDirectory(rooted, each, registry)
      // First what the other file speaks of.
      if (isSigned(server, wish))
        files.push({ path: join(directory, authorityFile), body: authorityOf(wish) })
      files.push({ path: join(directory, 'hosts.toml'), body })
    }
  }
  for (const { registry, server } of wish.registries)
    await add(registry, server, () => ownHosts(oursAt(server, wish)))
  const server = wish.registries[0]?.server
  if (server !== undefined)
    for (const mirror of wish.mirrors)
      await add(mirror, server, (prior) => mirrorHosts(mirror, oursAt(server, wish), prior))
  return files
}

function oursAt(server: Server, wish: Wish) {
  const dialTimeout = dialTimeoutFor(server, wish.nodeAddresses)
  return { server, hasAuthority: isSigned(server, wish), dialTimeout }
}

/**
 * Such a containerd takes localhost for plain HTTP, so there may be no need of us. One that cannot be
 * asked for its version may look where all do since 2.2.
 */
async function withoutPath(rooted: Rooted, runtime: Containerd, wish: Wish): Promise<Plan> {
  const { name, version, config } = runtime
  const what = `${name}${version === undefined ? '' : ` ${version}`}`
  const mayLook = version === undefined && !config.hasMirrors
  const usual = mayLook ? writtenIn({ path: directories.containerd, version }) : []
  const files = await filesBelow(rooted, usual, wish)
  const isNeedless =
    wish.mirrors.length === 0 &&
    wish.registries.every((each) => isDirect(each) && !each.server.isTls)
  if (isNeedless) {
    const notes = [`${what} has no config_path, and takes localhost for plain HTTP`]
    return { files, serves: true, notes, trouble: [] }
  }
  return { ...nothing, files, trouble: [linesFor(what, runtime)] }
}

function linesFor(what: string, { version, config }: Containerd): string {
  const where = config.file ?? '/etc/containerd/config.toml'
  // Without a file, the format has to be said as well.
  const format = config.format || (version?.startsWith('2.') ? 3 : 2)
  const lines = linesToAdd(format, '/etc/containerd/certs.d')
  const all = config.file === undefined ? `version = ${format}\n${lines}` : lines
  const unknown =
    version === undefined
      ? ' and cannot be asked for its version (its socket is not at --root; 2.2 needs none)'
      : ''
  const mirrors = config.hasMirrors
    ? '; what its registry.mirrors say has to go to hosts.toml files, since it refuses both'
    : ''
  return `${what} has no config_path${unknown}: add these lines to ${where} and restart it once${mirrors}:\n${all}`
}

function planDocker(wish: Wish): Plan {
  const files = wish.registries
    .filter(({ server }) => isSigned(server, wish))
    .map(({ registry }) => authorityIn(directories.docker, registry, wish))
  const trouble = wish.registries.flatMap((each) => {
    const { registry, server } = each
    if (registry !== server.host)
      return [`docker asks ${registry} itself, and cannot be led to ${server.origin}`]
    return server.isTls || isLocalhost(registry)
      ? []
      : [
          `docker takes ${registry} for TLS: add it to /etc/docker/daemon.json and reload it:\n{ "insecure-registries": ["${registry}"] }`,
        ]
  })
  const notes = wish.mirrors.map(
    (mirror) => `docker has no mirrors that hosts.toml could tell of: ${mirror} is asked itself`,
  )
  return { files, serves: trouble.length === 0, trouble, notes }
}

function planContainers(name: 'cri-o' | 'podman', wish: Wish): Plan {
  const files: PlannedFile[] = []
  for (const { registry, server } of wish.registries) {
    if (isSigned(server, wish)) files.push(authorityIn(directories.containers, server.host, wish))
    if (!server.isTls || !isNamed({ registry, server }))
      files.push(dropIn(registry, ownRegistry(registry, server)))
  }
  const server = wish.registries[0]?.server
  if (server !== undefined)
    for (const mirror of wish.mirrors) files.push(dropIn(mirror, mirrorRegistry(mirror, server)))
  const isReloaded = name === 'cri-o' && files.some(({ path }) => path.endsWith('.conf'))
  const isLed = wish.mirrors.length > 0 || wish.registries.some((each) => !isNamed(each))
  const notes = [
    ...(isReloaded
      ? ['cri-o reads registries.conf.d when it is reloaded (SIGHUP), or by auto_reload_registries']
      : []),
    // containers/image drops a pull's credentials at any other host (docker_image_src.go).
    ...(isLed
      ? [
          `${name} shows a pod's imagePullSecret to the host that the image names and to no other: where it is led to us, pulls are anonymous or by the node's own auth file`,
        ]
      : []),
  ]
  return { files, serves: true, trouble: [], notes }
}

const nothing: Plan = { files: [], serves: false, trouble: [], notes: [] }

function isDirect(each: Wish['registries'][number]): boolean {
  return isNamed(each) && isLocalhost(each.registry)
}

function isNamed({ registry, server }: Wish['registries'][number]): boolean {
  return registry === server.host
}

function isSigned(server: Server, { authority }: Wish): boolean {
  return server.isTls && authority !== undefined
}

function authorityIn(directory: string, host: string, wish: Wish): PlannedFile {
  return { path: join(directory, host, authorityFile), body: authorityOf(wish) }
}

function authorityOf({ authority = '' }: Wish): () => string {
  return () => authority
}

function dropIn(registry: RegistryHost, text: string): PlannedFile {
  const name = registry.replace(/[[\]]/g, '').replaceAll(':', '_')
  return { path: join(directories.dropIns, `berth-${name}.conf`), body: () => text }
}
