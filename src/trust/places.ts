import { join } from 'node:path'
import { kubeletFiles } from './kubelet.ts'
import { originalSuffix } from './node-files.ts'
import type { Rooted } from './rooted.ts'
import { directories, type Target } from './runtimes.ts'
import { writeDirectories } from './search-path.ts'
import { authorityFile } from './texts.ts'

/** The directories on the node in which files for a runtime are written. */
export function directoriesOf(runtime: Target): readonly string[] {
  switch (runtime.kind) {
    case 'containerd':
      return runtime.path === undefined ? [] : writeDirectories({ ...runtime, path: runtime.path })
    case 'docker':
      return [directories.docker]
    case 'containers':
      return [directories.containers, directories.dropIns]
    case 'kubelet':
      return [runtime.directory]
  }
}

/** All directories in which `berth trust` may have written files. */
export function allDirectories(runtimes: readonly Target[]): readonly string[] {
  const defaults = writeDirectories({ path: directories.containerd, version: undefined })
  const others = [directories.docker, directories.containers, directories.dropIns]
  const ranchers = ['k3s', 'rke2'].map(
    (name) => `/var/lib/rancher/${name}/agent/etc/containerd/certs.d`,
  )
  return [...defaults, ...others, ...ranchers, ...runtimes.flatMap(directoriesOf)]
}

/** Located paths of files that `berth trust` wrote, also of removed ones whose original is kept beside them. */
export async function findWritten(
  rooted: Rooted,
  roots: readonly string[],
): Promise<readonly string[]> {
  const found = new Set<string>()
  for (const root of new Set(roots)) {
    for (const name of await rooted.list(root)) {
      if (isBerthFile(name)) found.add(await rooted.locate(join(root, withoutSuffix(name))))
      for (const below of await rooted.list(join(root, name)))
        if (isBerthFile(below))
          found.add(await rooted.locate(join(root, name, withoutSuffix(below))))
    }
  }
  return [...found]
}

function withoutSuffix(name: string): string {
  return name.endsWith(originalSuffix) ? name.slice(0, -originalSuffix.length) : name
}

function isBerthFile(name: string): boolean {
  return (
    ['hosts.toml', authorityFile, ...Object.values(kubeletFiles)].includes(withoutSuffix(name)) ||
    /^berth-.*\.conf$/.test(withoutSuffix(name))
  )
}
