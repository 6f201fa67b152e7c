/** A file of a node, and its content. */
type NodeFile = { readonly path: string; readonly text: string }

const directory = '/etc/containerd/certs.d'

/**
 * The files by which containerd pulls `localhost:PORT/…` and the images of every other registry from Berth
 * (containerd, docs/hosts.md). Where Berth answers 404 because it has no such upstream, or does not run, containerd asks
 * the image's own registry.
 */
export function nodeFiles(port: number, server: string): readonly NodeFile[] {
  const mirror = [
    `[host."${server}"]`,
    '  capabilities = ["pull", "resolve"]',
    '  dial_timeout = "1s"',
  ]
  return [
    { path: `${directory}/localhost:${port}/hosts.toml`, text: `server = "${server}"\n` },
    { path: `${directory}/_default/hosts.toml`, text: `${mirror.join('\n')}\n` },
  ]
}

/** A script for `sh` that writes the files, each by a rename, and prints whether containerd reads them. */
export function nodeScript(files: readonly NodeFile[]): string {
  const writes = files.map(({ path, text }) => {
    const parent = path.slice(0, path.lastIndexOf('/'))
    return `mkdir -p '${parent}'
cat >'${path}.new' <<'END'
${text}END
mv '${path}.new' '${path}'`
  })
  return `set -eu
${writes.join('\n')}
containerd config dump | grep config_path || true
`
}

/** Whether the lines that `nodeScript` printed have a `config_path` with our directory. */
export function readsNodeFiles(printed: string): boolean {
  return printed
    .split('\n')
    .some((line) => /^\s*config_path\s*=/.test(line) && line.includes(directory))
}
