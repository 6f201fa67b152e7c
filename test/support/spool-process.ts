import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { main } from './command.ts'
import { compileCache } from './compile-cache.ts'
import { type Program, start } from './programs.ts'

export type SpoolProcess = Program & { readonly health: string }

type Options = {
  readonly root: string
  /** `host:port`. */
  readonly registry: string
  readonly args?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
}

/** `berth spool` in a process of its own, on a free port. */
export async function startSpool({
  root,
  registry,
  args = [],
  environment = {},
}: Options): Promise<SpoolProcess> {
  const program = start(
    [
      ...[process.execPath, main, 'spool', '--directory', root, '--registry', registry],
      ...['--prefix', 'local', '--health-port', '0', '--health-host', '127.0.0.1'],
      ...['--settle', '1', ...args],
    ],
    { environment: { HOME: root, ...compileCache, ...environment } },
  )
  const [, health = ''] = await program.wrote(/"health":"([^"]+)"/)
  return { ...program, health: `http://${health}` }
}

/** Files that users dropped, those in `failed/` included, without records. */
export async function droppedFiles(root: string): Promise<readonly string[]> {
  const all = await readdir(root, { recursive: true, withFileTypes: true })
  return all
    .filter((entry) => !entry.isDirectory() && !entry.name.endsWith('.json'))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .filter((path) => !path.startsWith('.berth/claims') && !path.startsWith('.berth/tmp'))
}
