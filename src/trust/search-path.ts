import { isAtLeast } from './containerd-version.ts'

type SearchPath = { readonly path: string; readonly version: string | undefined }

/**
 * containerd 2.1 and later pulls through its transfer service, which reads a `config_path` of several
 * directories as the name of one, colons included: `/etc/containerd/certs.d:/etc/docker/certs.d`, its
 * own default, is then the directory `docker/certs.d` in `etc` in `certs.d:` (containerd#12808, not
 * fixed in 2.4). Files in that directory and in the first of the list are found in both cases.
 */
export function writeDirectories({ path, version }: SearchPath): readonly string[] {
  const [first = path] = split(path)
  const mayUseWholePath = version === undefined || isAtLeast(version, 2, 1)
  return path.includes(':') && mayUseWholePath ? [first, path] : [first]
}

/** The directories that containerd may read, in order. */
export function searchedDirectories({
  path,
  version,
  pullsByCri,
}: SearchPath & { readonly pullsByCri: boolean }): readonly string[] {
  const isOld = version !== undefined && !isAtLeast(version, 2, 1)
  if (!path.includes(':') || pullsByCri || isOld) return split(path)
  const usesWholePath = version !== undefined && !isAtLeast(version, 2, 5)
  return usesWholePath ? [path] : [path, ...split(path)]
}

function split(path: string): readonly string[] {
  return path.split(':').filter((directory) => directory !== '')
}
