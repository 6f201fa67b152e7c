import { join } from 'node:path'
import type { TomlTable } from 'smol-toml'
import { isLocalhost, originOf, parseServer, type RegistryHost } from './addresses.ts'
import { hostDirectories } from './containerd.ts'
import type { Rooted } from './rooted.ts'
import { directories, type Runtime } from './runtimes.ts'
import { searchedDirectories } from './search-path.ts'
import { parseTable, tableOf } from './toml.ts'

/** An address from which a runtime pulls an image. */
export type Endpoint = {
  /** `HOST:PORT`. */
  readonly host: string
  /** `either`: TLS, then plain HTTP if the server does not use TLS. */
  readonly scheme: 'http' | 'https' | 'either'
  /** Whether the runtime verifies the certificate. */
  readonly verified: boolean
  /** PEM certificates, in addition to those that the node trusts. */
  readonly authorities: readonly string[]
}

/** The addresses from which a runtime pulls the images of a registry, in order, and the file that defines them. */
export type RegistryEndpoints = {
  readonly endpoints: readonly Endpoint[]
  readonly file: string | undefined
}

/** Reads the files as the runtime does, and ignores what the runtime ignores. */
export function endpointsOf(
  rooted: Rooted,
  runtime: Runtime,
  registry: RegistryHost,
): Promise<RegistryEndpoints> {
  switch (runtime.kind) {
    case 'containerd':
      return containerdEndpoints(rooted, runtime, registry)
    case 'docker':
      return dockerEndpoints(rooted, registry)
    case 'containers':
      return containersEndpoints(rooted, registry)
  }
}

/** The default without a file: only localhost is not verified. */
export function defaultEndpoint(registry: RegistryHost, authorities: readonly string[]): Endpoint {
  return isLocalhost(registry)
    ? { host: registry, scheme: 'either', verified: false, authorities }
    : { host: registry, scheme: 'https', verified: true, authorities }
}

type Containerd = Extract<Runtime, { kind: 'containerd' }>

async function containerdEndpoints(
  rooted: Rooted,
  { config: { pullsByCri }, path, version }: Containerd,
  registry: RegistryHost,
): Promise<RegistryEndpoints> {
  const none = { endpoints: [defaultEndpoint(registry, [])], file: undefined }
  if (path === undefined) return none
  const searched = searchedDirectories({ path, version, pullsByCri })
  for (const below of searched.flatMap((each) => hostDirectories(each, registry))) {
    if (!(await rooted.exists(below))) continue
    const file = join(below, 'hosts.toml')
    const text = await rooted.text(file)
    const table = text === undefined ? undefined : parseTable(text)
    if (table !== undefined)
      return { endpoints: await endpointsInHosts(rooted, below, table, registry), file }
    const authorities = await authoritiesIn(rooted, below)
    return { endpoints: [defaultEndpoint(registry, authorities)], file: below }
  }
  return none
}

/** Each `[host]`, and then the server. */
async function endpointsInHosts(
  rooted: Rooted,
  directory: string,
  table: TomlTable,
  registry: RegistryHost,
): Promise<readonly Endpoint[]> {
  const hosts = Object.entries(tableOf(table['host'])).map(
    ([url, value]) => [url, tableOf(value)] as const,
  )
  const server = typeof table['server'] === 'string' ? table['server'] : undefined
  const all = [...hosts, [server, table] as const]
  const endpoints: Endpoint[] = []
  for (const [url, settings] of all) {
    const capabilities = settings['capabilities']
    const pulls = !Array.isArray(capabilities) || capabilities.length === 0
    if (!pulls && !capabilities.includes('pull')) continue
    const paths = [settings['ca']].flat().filter((path) => typeof path === 'string')
    const texts = await Promise.all(
      paths.map((path) => rooted.text(path.startsWith('/') ? path : join(directory, path))),
    )
    const authorities = texts.filter((text) => text !== undefined)
    const skipsVerification = settings['skip_verify'] === true
    endpoints.push(
      endpointAt(url, {
        registry,
        authorities,
        skipsVerification,
        hasTls: paths.length > 0 || skipsVerification,
      }),
    )
  }
  return endpoints
}

type Settings = {
  readonly registry: RegistryHost
  readonly authorities: readonly string[]
  readonly skipsVerification: boolean
  readonly hasTls: boolean
}

function endpointAt(
  url: string | undefined,
  { registry, authorities, skipsVerification, hasTls }: Settings,
): Endpoint {
  if (url === undefined && isLocalhost(registry)) return defaultEndpoint(registry, authorities)
  const text = url ?? originOf(registry)
  const origin = /^https?:/.test(text) ? text : `https://${text}`
  const server = URL.canParse(origin) ? parseServer(new URL(origin).origin) : undefined
  if (server === undefined) return defaultEndpoint(registry, authorities)
  const scheme = server.isTls ? 'https' : hasTls ? 'either' : 'http'
  return { host: server.host, scheme, verified: !skipsVerification, authorities }
}

async function dockerEndpoints(rooted: Rooted, registry: RegistryHost): Promise<RegistryEndpoints> {
  const directory = join(directories.docker, registry)
  const authorities = await authoritiesIn(rooted, directory)
  const file = '/etc/docker/daemon.json'
  const insecure = /"insecure-registries"\s*:\s*\[([^\]]*)\]/.exec((await rooted.text(file)) ?? '')
  const isInsecure = insecure?.[1]?.includes(`"${registry}"`) === true
  const defaults = defaultEndpoint(registry, authorities)
  const endpoint = isInsecure
    ? { ...defaults, scheme: 'either' as const, verified: false }
    : defaults
  const said = authorities.length > 0 ? directory : undefined
  return { endpoints: [endpoint], file: isInsecure ? file : said }
}

/** The last file that names the registry counts. */
async function containersEndpoints(
  rooted: Rooted,
  registry: RegistryHost,
): Promise<RegistryEndpoints> {
  const dropIns = (await rooted.list(directories.dropIns)).filter((name) => name.endsWith('.conf'))
  const files = [
    '/etc/containers/registries.conf',
    ...dropIns.map((name) => join(directories.dropIns, name)),
  ]
  let found:
    | { readonly file: string; readonly host: string; readonly insecure: boolean }
    | undefined
  for (const file of files) {
    const entries = parseTable((await rooted.text(file)) ?? '')?.['registry']
    for (const entry of Array.isArray(entries) ? entries.map(tableOf) : []) {
      const { prefix = entry['location'], location = prefix, insecure } = entry
      if (prefix !== registry || typeof location !== 'string') continue
      found = { file, host: location.split('/')[0] ?? registry, insecure: insecure === true }
    }
  }
  const host = found?.host ?? registry
  const authorities = [
    ...(await authoritiesIn(rooted, join(directories.containers, host))),
    ...(await authoritiesIn(rooted, join(directories.docker, host))),
  ]
  const insecure = found?.insecure === true
  const scheme = insecure ? 'either' : 'https'
  return { endpoints: [{ host, scheme, verified: !insecure, authorities }], file: found?.file }
}

async function authoritiesIn(rooted: Rooted, directory: string): Promise<readonly string[]> {
  const names = (await rooted.list(directory)).filter((name) => name.endsWith('.crt'))
  const texts = await Promise.all(names.map((name) => rooted.text(join(directory, name))))
  return texts.filter((text) => text !== undefined)
}
