import { dirname, join, matchesGlob } from 'node:path'
import { parse, type TomlTable, type TomlValue } from 'smol-toml'
import type { RegistryHost } from './addresses.ts'
import type { Rooted } from './rooted.ts'
import { tableOf } from './toml.ts'

/** containerd's configuration of registries. */
export type ContainerdConfig = {
  /** The node's path of its main file; undefined when there is none. */
  readonly file: string | undefined
  /** The version of the format, 1 to 4. */
  readonly format: number
  /** `config_path`, which may be a list; empty when it is not set. */
  readonly path: string
  /** Pulls are made by the CRI plugin itself, as all were before 2.1. */
  readonly pullsByCri: boolean
  /** `mirrors` are configured, which containerd refuses together with `config_path`. */
  readonly hasMirrors: boolean
  /** The CRI plugin, which kubelets use, is disabled. */
  readonly isCriDisabled: boolean
}

/** The plugin's table in each format; containerd takes older ones as well. */
const tables = {
  1: 'cri',
  2: 'io.containerd.grpc.v1.cri',
  3: 'io.containerd.cri.v1.images',
} as const
const maxFiles = 100

/** @throws Error that names the file that cannot be parsed. */
export async function readContainerdConfig(
  rooted: Rooted,
  file: string,
): Promise<ContainerdConfig> {
  const files = await readAll(rooted, file)
  const main = files[0]
  const format = Number(main?.['version'] ?? 1)
  const plugins = files.flatMap(pluginsIn)
  const registries = plugins.map((plugin) => tableOf(plugin['registry']))
  const path = registries
    .map((registry) => registry['config_path'])
    .findLast((value) => typeof value === 'string' && value !== '')
  const disabled = files.flatMap((each) => arrayOf(each['disabled_plugins']))
  return {
    file: main === undefined ? undefined : file,
    format: main === undefined ? 0 : format,
    path: String(path ?? ''),
    pullsByCri: plugins.some((plugin) => plugin['use_local_image_pull'] === true),
    hasMirrors: registries.some((registry) => Object.keys(tableOf(registry['mirrors'])).length > 0),
    isCriDisabled: disabled.some((plugin) => Object.values<TomlValue>(tables).includes(plugin)),
  }
}

/** The lines that the configuration lacks, and the file that they belong to. */
export function linesToAdd(format: number, directory: string): string {
  const table =
    format <= 1 ? '[plugins.cri.registry]' : `[plugins."${tables[format === 2 ? 2 : 3]}".registry]`
  return `${table}\n  config_path = "${directory}"`
}

/**
 * Directories below one directory of `config_path` in which containerd looks for a registry; the first that exists counts
 * (core/remotes/docker/config, hostPaths).
 */
export function hostDirectories(directory: string, registry: RegistryHost): readonly string[] {
  const colon = registry.lastIndexOf(':')
  const names =
    colon > 0 && !registry.endsWith(']')
      ? [`${registry.slice(0, colon)}_${registry.slice(colon + 1)}_`, registry, '_default']
      : [registry, '_default']
  return names.map((name) => join(directory, name))
}

/** The directory of the registry: the one that exists, or else the first, which takes precedence over all others. */
export async function hostDirectory(
  rooted: Rooted,
  directory: string,
  registry: RegistryHost,
): Promise<string> {
  const own = hostDirectories(directory, registry).slice(0, -1)
  for (const each of own) if (await rooted.exists(each)) return each
  return own[0] ?? join(directory, registry)
}

/** The main file first; imports, which may be patterns, follow the file that imports them. */
async function readAll(rooted: Rooted, file: string): Promise<readonly TomlTable[]> {
  const found: TomlTable[] = []
  const seen = new Set<string>()
  const pending = [file]
  for (let next = pending.shift(); next !== undefined; next = pending.shift()) {
    if (seen.has(next) || seen.size >= maxFiles) continue
    seen.add(next)
    const text = await rooted.text(next)
    if (text === undefined) continue
    const table = parseFile(next, text)
    found.push(table)
    for (const pattern of arrayOf(table['imports']))
      pending.push(...(await expand(rooted, String(pattern), dirname(next))))
  }
  return found
}

function parseFile(file: string, text: string): TomlTable {
  try {
    return parse(text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : ''
    throw new Error(`${file} is not valid TOML: ${why}`, { cause })
  }
}

async function expand(rooted: Rooted, pattern: string, from: string): Promise<readonly string[]> {
  const path = pattern.startsWith('/') ? pattern : join(from, pattern)
  if (!path.includes('*')) return [path]
  const directory = dirname(path)
  const paths = (await rooted.list(directory)).map((name) => join(directory, name))
  return paths.filter((each) => matchesGlob(each, path))
}

function pluginsIn(file: TomlTable): readonly TomlTable[] {
  const plugins = tableOf(file['plugins'])
  return Object.values(tables).map((name) => tableOf(plugins[name]))
}

function arrayOf(value: TomlValue | undefined): readonly TomlValue[] {
  return Array.isArray(value) ? value : []
}
