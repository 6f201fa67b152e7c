import { dockerHubHosts, dockerHubKey } from '../../oci/docker-hub.ts'

/** The name of a registry for credential helpers. */
export function serverOf(host: string): string {
  return dockerHubHosts.includes(host) ? dockerHubKey : host
}

/**
 * The key of a docker configuration that applies to `host`: the host in any spelling of docker, podman
 * and Kubernetes, else the most specific pattern that matches. A key with a namespace after the host, as
 * podman writes it, applies to some repositories of a registry; Berth's credential is for all of them.
 */
export function keyFor(host: string, keys: readonly string[]): string | undefined {
  const literal = (key: string) => key.replace(/[*?]/g, '').length
  return (
    exactKeyFor(host, keys) ??
    keys.filter((key) => matches(key, host)).toSorted((a, b) => literal(b) - literal(a))[0]
  )
}

/** Whether a docker configuration with these keys has an entry for `host`. */
export function hasEntryFor(host: string, keys: readonly string[]): boolean {
  return keyFor(host, keys) !== undefined
}

/** The same without patterns: `credHelpers` has none. */
export function exactKeyFor(host: string, keys: readonly string[]): string | undefined {
  return exactKeys(host).find((candidate) => keys.includes(candidate))
}

/** The keys that apply to a namespace of `host`. */
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

/** Compares label by label, and the port, as the kubelet does (Kubernetes, "Interpretation of config.json"). */
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

/** Without a regular expression: a hostile pattern must not take exponential time. */
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
