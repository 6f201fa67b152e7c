import { join } from 'node:path'
import type { TomlTable } from 'smol-toml'
import { isLocalhost, originOf, parseServer, type RegistryHost } from './addresses.ts'
import { hostDirectories } from './containerd.ts'
import type { Rooted } from './rooted.ts'
import { directories, type Runtime } from './runtimes.ts'
import { searchedIn } from './search-path.ts'
import { parseTable, tableOf } from './toml.ts'

/** One address that a runtime asks for an image. */
export type Endpoint = {
  /** `HOST:PORT`. */
  readonly host: string
  /** `anyCase`: TLS, and plain HTTP if that is no TLS. */
  readonly scheme: 'http' | 'https' | 'either'
  /** Whether the certificate has to be one that is believed. */
  readonly verified: boolean
  /** PEM, beside those whom the node believes anyway. */
  readonly authorities: readonly string[]
}

/** Whom a runtime asks for images of a registry, in this order, and which of its files says so. */
export type Asked = { readonly endpoints: readonly Endpoint[]; readonly file: string | undefined }

/** As the runtime itself reads its files. What it would pass over is passed over. */
export function endpointsOf(
  rooted: Rooted,
  runtime: Runtime,
  registry: RegistryHost,
): Promise<Asked> {
  switch (runtime.kind) {
    case 'containerd':
      return askedByContainerd(rooted, runtime, registry)
    case 'docker':
      return askedByDocker(rooted, registry)
    case 'containers':
      return askedByContainers(rooted, registry)
  }
}

/** Without a file that says otherwise: only localhost is believed. */
export function usualEndpoint(registry: RegistryHost, authorities: readonly string[]): Endpoint {
  return isLocalhost(registry)
    ? { host: registry, scheme: 'either', verified: false, authorities }
    : { host: registry, scheme: 'https', verified: true, authorities }
}

type Containerd = Extract<Runtime, { kind: 'containerd' }>

async function askedByContainerd(
  rooted: Rooted,
  { config: { pullsLocally }, path, version }: Containerd,
  registry: RegistryHost,
): Promise<Asked> {
  const none = { endpoints: [usualEndpoint(registry, [])], file: undefined }
  if (path === undefined) return none
  const searched = searchedIn({ path, version, pullsLocally })
  for (const below of searched.flatMap((each) => hostDirectories(each, registry))) {
    if (!(await rooted.exists(below))) continue
    const file = join(below, 'hosts.toml')
    const text = await rooted.text(file)
    const table = text === undefined ? undefined : parseTable(text)
    if (table !== undefined)
      return { endpoints: await inHosts(rooted, below, table, registry), file }
    const authorities = await authoritiesIn(rooted, below)
    return { endpoints: [usualEndpoint(registry, authorities)], file: below }
  }
  return none
}

/** Each `[host]`, and then the server. */
async function inHosts(
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
    const skips = settings['skip_verify'] === true
    endpoints.push(
      endpointAt(url, { registry, authorities, skips, hasTls: paths.length > 0 || skips }),
    )
  }
  return endpoints
}

type Settings = {
  readonly registry: RegistryHost
  readonly authorities: readonly string[]
  readonly skips: boolean
  readonly hasTls: boolean
}

function endpointAt(
  url: string | undefined,
  { registry, authorities, skips, hasTls }: Settings,
): Endpoint {
  if (url === undefined && isLocalhost(registry)) return usualEndpoint(registry, authorities)
  const text = url ?? originOf(registry)
  const origin = /^https?:/.test(text) ? text : `https://${text}`
  const server = URL.canParse(origin) ? parseServer(new URL(origin).origin) : undefined
  if (server === undefined) return usualEndpoint(registry, authorities)
  const scheme = server.isTls ? 'https' : hasTls ? 'either' : 'http'
  return { host: server.host, scheme, verified: !skips, authorities }
}

async function askedByDocker(rooted: Rooted, registry: RegistryHost): Promise<Asked> {
  const directory = join(directories.docker, registry)
  const authorities = await authoritiesIn(rooted, directory)
  const file = '/etc/docker/daemon.json'
  const insecure = /"insecure-registries"\s*:\s*\[([^\]]*)\]/.exec((await rooted.text(file)) ?? '')
  const isInsecure = insecure?.[1]?.includes(`"${registry}"`) === true
  const usual = usualEndpoint(registry, authorities)
  const endpoint = isInsecure ? { ...usual, scheme: 'either' as const, verified: false } : usual
  const said = authorities.length > 0 ? directory : undefined
  return { endpoints: [endpoint], file: isInsecure ? file : said }
}

/** The last file that speaks of the registry is in force. */
async function askedByContainers(rooted: Rooted, registry: RegistryHost): Promise<Asked> {
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
