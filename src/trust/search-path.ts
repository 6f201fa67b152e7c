import { isAtLeast } from './containerd-version.ts'

type Looks = { readonly path: string; readonly version: string | undefined }

/**
 * containerd 2.1 and later pulls through its transfer service, which reads a `config_path` of several
 * directories as the name of one, colons included: `/etc/containerd/certs.d:/etc/docker/certs.d`, its
 * own default, is then the directory `docker/certs.d` in `etc` in `certs.d:` (containerd#12808, not
 * fixed in 2.4). Files in that directory and in the first of the list are found by both readings.
 */
export function writtenIn({ path, version }: Looks): readonly string[] {
  const [first = path] = split(path)
  const mayMisread = version === undefined || isAtLeast(version, 2, 1)
  return path.includes(':') && mayMisread ? [first, path] : [first]
}

/** The directories that it may read, in order. */
export function searchedIn({
  path,
  version,
  pullsByCri,
}: Looks & { readonly pullsByCri: boolean }): readonly string[] {
  const isOld = version !== undefined && !isAtLeast(version, 2, 1)
  if (!path.includes(':') || pullsByCri || isOld) return split(path)
  const isMisread = version !== undefined && !isAtLeast(version, 2, 5)
  return isMisread ? [path] : [path, ...split(path)]
}

function split(path: string): readonly string[] {
  return path.split(':').filter((directory) => directory !== '')
}
