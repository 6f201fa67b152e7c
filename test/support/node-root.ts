import { lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  createTrust,
  parseRegistryHost,
  parseServer,
  type RegistryHost,
  type Server,
  type Trust,
} from '../../src/trust/trust.ts'
import { ownDirectory } from './directory.ts'
import { type Watched, watchedTelemetry } from './telemetry.ts'

/** Files by the node's path; `null` is a directory, `{ link }` a symbolic link. */
export type Entries = Readonly<Record<string, string | null | { readonly link: string }>>

/** Configurations of containerd with and without config_path. */
export const containerdConfig = {
  none: 'version = 2\n',
  set: 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/etc/containerd/certs.d"\n',
} as const

/** A directory that looks like the root of a node. */
export async function makeRoot(t: TestContext, entries: Entries): Promise<string> {
  const root = await ownDirectory(t)
  await addTo(root, entries)
  return root
}

export async function addTo(root: string, entries: Entries): Promise<void> {
  for (const [path, entry] of Object.entries(entries)) {
    const file = join(root, path)
    await mkdir(entry === null ? file : dirname(file), { recursive: true })
    if (typeof entry === 'string') await writeFile(file, entry)
    else if (entry !== null) await symlink(entry.link, file)
  }
}

/** All its entries: type, mode and content. */
export async function picture(root: string): Promise<Readonly<Record<string, string>>> {
  const names = (await readdir(root, { recursive: true })).toSorted()
  const entries = names.map(async (name) => {
    const path = join(root, name)
    const stats = await lstat(path)
    const mode = (stats.mode & 0o7777).toString(8)
    if (stats.isSymbolicLink()) return [name, `link to ${await readlink(path)}`]
    if (stats.isDirectory()) return [name, `directory ${mode}`]
    return [name, `file ${mode} ${stats.mtimeMs}: ${await readFile(path, 'latin1')}`]
  })
  return Object.fromEntries(await Promise.all(entries))
}

type Options = {
  readonly registry?: string
  readonly server?: string
  readonly mirrors?: readonly string[]
  readonly authority?: string
  readonly owner?: string
  readonly nodeAddresses?: readonly string[]
}

/** `berth trust` for a root, without a process of its own. */
export function trustFor(root: string, options: Options = {}): { trust: Trust; watched: Watched } {
  const { registry = 'localhost:30026', server = `http://${registry}`, mirrors = [] } = options
  const watched = watchedTelemetry()
  const trust = createTrust({
    root,
    registries: [{ registry: host(registry), server: serverAt(server) }],
    mirrors: mirrors.map(host),
    authority: options.authority,
    nodeAddresses: options.nodeAddresses ?? [],
    owner: options.owner,
    telemetry: watched.telemetry,
  })
  return { trust, watched }
}

function host(text: string): RegistryHost {
  const parsed = parseRegistryHost(text)
  if (parsed === undefined) throw new Error(`${text} is no host`)
  return parsed
}

function serverAt(text: string): Server {
  const parsed = parseServer(text)
  if (parsed === undefined) throw new Error(`${text} is no server`)
  return parsed
}
