import { readdir, readFile, rmdir } from 'node:fs/promises'
import { join } from 'node:path'

const noFiles = () => []

/**
 * Removes the cgroups of all containers that a containerd had, which are left when they are ended
 * from outside. `root` is its directory; nothing runs there any more.
 */
export async function removeCgroups(root: string): Promise<void> {
  const hierarchies = await cgroupRoots()
  for (const id of await containersOf(root))
    for (const hierarchy of hierarchies) await rmdir(join(hierarchy, 'k8s.io', id)).catch(() => {})
}

/** What its part for Kubernetes knows: a directory for each, sandboxes of pods among them. */
async function containersOf(root: string): Promise<readonly string[]> {
  const parts = (await readdir(root).catch(noFiles)).filter((part) => part.includes('cri'))
  const kinds = parts.flatMap((part) => [
    join(root, part, 'containers'),
    join(root, part, 'sandboxes'),
  ])
  return (await Promise.all(kinds.map((kind) => readdir(kind).catch(noFiles)))).flat()
}

/** In each hierarchy; version 2 has one. */
async function cgroupRoots(): Promise<readonly string[]> {
  const mounts = await readFile('/proc/self/mounts', 'utf8')
  return [...mounts.matchAll(/^\S+ (\/sys\/fs\/cgroup\S*) cgroup2? /gm)].map(
    ([, path = '']) => path,
  )
}
