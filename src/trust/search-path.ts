import { isAtLeast } from './containerd-version.ts'

type Looks = { readonly path: string; readonly version: string | undefined }

/**
 * containerd from 2.1 on pulls by its transfer service, which takes a `config_path` of several
 * directories for the name of one, colons and all: `/etc/containerd/certs.d:/etc/docker/certs.d`, its
 * own default, is then the directory `docker/certs.d` in `etc` in `certs.d:` (containerd#12808, not
 * mended in 2.4). Files that lie there and in the first of the list are found by each of them.
 */
export function writtenIn({ path, version }: Looks): readonly string[] {
  const [first = path] = split(path)
  const mayMistake = version === undefined || isAtLeast(version, 2, 1)
  return path.includes(':') && mayMistake ? [first, path] : [first]
}

/** Where it looks, as far as that can be known, in this order. */
export function searchedIn({
  path,
  version,
  pullsLocally,
}: Looks & { readonly pullsLocally: boolean }): readonly string[] {
  const isOld = version !== undefined && !isAtLeast(version, 2, 1)
  if (!path.includes(':') || pullsLocally || isOld) return split(path)
  const isMistaken = version !== undefined && !isAtLeast(version, 2, 5)
  return isMistaken ? [path] : [path, ...split(path)]
}

function split(path: string): readonly string[] {
  return path.split(':').filter((directory) => directory !== '')
}
