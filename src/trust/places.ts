import { join } from 'node:path'
import { beforeEnding } from './node-files.ts'
import type { Rooted } from './rooted.ts'
import { directories, type Runtime } from './runtimes.ts'
import { writtenIn } from './search-path.ts'
import { authorityFile } from './texts.ts'

/** The node's directories that files for a runtime go to. */
export function writtenTo(runtime: Runtime): readonly string[] {
  switch (runtime.kind) {
    case 'containerd':
      return runtime.path === undefined ? [] : writtenIn({ ...runtime, path: runtime.path })
    case 'docker':
      return [directories.docker]
    case 'containers':
      return [directories.containers, directories.dropIns]
  }
}

/** Wherever files of ours may be on a node. */
export function everywhere(runtimes: readonly Runtime[]): readonly string[] {
  const usual = writtenIn({ path: directories.containerd, version: undefined })
  const others = [directories.docker, directories.containers, directories.dropIns]
  const ranchers = ['k3s', 'rke2'].map(
    (name) => `/var/lib/rancher/${name}/agent/etc/containerd/certs.d`,
  )
  return [...usual, ...others, ...ranchers, ...runtimes.flatMap(writtenTo)]
}

/** Where files are that may be ours, or were before somebody removed them; as they are located. */
export async function findOurs(
  rooted: Rooted,
  roots: readonly string[],
): Promise<readonly string[]> {
  const found = new Set<string>()
  for (const root of new Set(roots)) {
    for (const name of await rooted.list(root)) {
      if (isOurs(name)) found.add(await rooted.locate(join(root, bare(name))))
      for (const below of await rooted.list(join(root, name)))
        if (isOurs(below)) found.add(await rooted.locate(join(root, name, bare(below))))
    }
  }
  return [...found]
}

function bare(name: string): string {
  return name.endsWith(beforeEnding) ? name.slice(0, -beforeEnding.length) : name
}

function isOurs(name: string): boolean {
  return ['hosts.toml', authorityFile].includes(bare(name)) || /^berth-.*\.conf$/.test(bare(name))
}
