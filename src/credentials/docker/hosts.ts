import { dockerHubHosts, dockerHubKey } from '../../oci/docker-hub.ts'

/** What docker calls a registry when it asks a credential helper for it. */
export function serverOf(host: string): string {
  return dockerHubHosts.includes(host) ? dockerHubKey : host
}

/**
 * The key of a docker configuration that is meant for `host`: the host as docker, podman and
 * Kubernetes have written it over the years, else the most exact of the patterns that match. Keys with
 * a namespace behind the host, as podman writes them, are for some of a registry's repositories: what
 * Berth shows is for all.
 */
export function keyFor(host: string, keys: readonly string[]): string | undefined {
  const literal = (key: string) => key.replace(/[*?]/g, '').length
  return (
    exactKeyFor(host, keys) ??
    keys.filter((key) => matches(key, host)).toSorted((a, b) => literal(b) - literal(a))[0]
  )
}

/** The same without patterns, which docker's own maps do not have. */
export function exactKeyFor(host: string, keys: readonly string[]): string | undefined {
  return exactKeys(host).find((candidate) => keys.includes(candidate))
}

/** The keys that are for a part of `host`. */
export function namespacesOf(host: string, keys: readonly string[]): readonly string[] {
  return keys.filter((key) => key.startsWith(`${host}/`))
}

function exactKeys(host: string): readonly string[] {
  const names = dockerHubHosts.includes(host) ? [dockerHubKey, ...dockerHubHosts] : [host]
  return names.flatMap((name) => [
    name,
    ...['https', 'http'].flatMap((scheme) =>
      ['', '/', '/v1/', '/v2/'].map((path) => `${scheme}://${name}${path}`),
    ),
  ])
}

/** As the kubelet does it (Kubernetes, "Interpretation of config.json"): label by label, and the port. */
function matches(key: string, host: string): boolean {
  if (!/[*?]/.test(key)) return false
  const [labels, port] = split(key.replace(/^https?:\/\//, '').replace(/\/$/, ''))
  const [wantedLabels, wantedPort] = split(host)
  return (
    port === wantedPort &&
    labels.length === wantedLabels.length &&
    labels.every((label, at) => matchesLabel(label, wantedLabels[at] ?? ''))
  )
}

function split(host: string): readonly [labels: readonly string[], port: string] {
  const [name = '', port = ''] = host.split(':')
  return [name.split('.'), port]
}

/** In time that grows with the product of both, whatever the pattern is. */
function matchesLabel(pattern: string, label: string): boolean {
  let ends = new Set([0])
  for (const sign of pattern) {
    const next = new Set<number>()
    for (const end of ends) {
      if (sign === '*') for (let at = end; at <= label.length; at += 1) next.add(at)
      else if (end < label.length && (sign === '?' || sign === label[end])) next.add(end + 1)
    }
    ends = next
  }
  return ends.has(label.length)
}
