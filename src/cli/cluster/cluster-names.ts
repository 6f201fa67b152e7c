import { parseImageReference } from '../../oci/image-reference.ts'
import type { ClusterRegistry } from './cluster-registry.ts'

type Registry = Pick<ClusterRegistry, 'host' | 'hosted'>

/**
 * The full name of an image in the registry of a cluster. `app:1.2` is stored in the registry itself, below its
 * first hosted prefix: `localhost:30026/local/app:1.2`. `localhost` with any port is the registry too. Names of
 * other registries stay.
 */
export function clusterName(text: string, { host, hosted }: Registry): string {
  const given = parseImageReference(text).host
  if (given === undefined) return `${host}/${withPrefix(text, hosted)}`
  const isLocal = /^localhost(:\d+)?$/.test(given)
  return isLocal ? `${host}${text.slice(given.length)}` : text
}

/** With the tag `latest`, as docker has it, if there is no tag and no digest. */
export function withTag(text: string): string {
  const { tag, digest } = parseImageReference(text)
  return tag === undefined && digest === undefined ? `${text}:latest` : text
}

/** The name in the registry of an image of a local store: without the host that it came from. */
export function nameOfSource(source: string): string {
  const name = source.replace(/^[a-z-]+:\/\//, '')
  const { host } = parseImageReference(name)
  const isLocal = host !== undefined && /^localhost(:\d+)?$/.test(host)
  return host === undefined || isLocal ? name : name.slice(host.length + 1)
}

function withPrefix(name: string, hosted: readonly string[]): string {
  const prefixes = hosted.filter((prefix) => prefix !== '')
  const [first] = prefixes
  if (first === undefined || prefixes.some((prefix) => name.startsWith(`${prefix}/`))) return name
  return `${first}/${name}`
}
