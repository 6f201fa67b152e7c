import type { Loaded } from '../config/config.ts'
import { hubHosts, hubKey } from '../oci/docker-hub.ts'
import { createMatcher } from '../oci/globs.ts'
import type { Place } from './place.ts'
import type { Upstream } from './upstream-credentials.ts'

export type FoundUpstream = {
  readonly upstream: Upstream
  /** Its host is all its own: what is true of one repository there is true of the others. */
  readonly isWhole: boolean
}

type Configured = Pick<Loaded, 'config' | 'file'>

/** Where Artifact Registry is, and what the container registry before it has become. */
const googleHosts = [
  /^[a-z0-9-]+-docker\.pkg\.dev$/,
  /^docker\.[a-z0-9-]+\.rep\.pkg\.dev$/,
  /^([a-z0-9-]+\.)?gcr\.io$/,
]
/** The same for kubelets, where a star stands within one part of a host. */
const googlePatterns = ['*-docker.pkg.dev', 'docker.*.rep.pkg.dev', 'gcr.io', '*.gcr.io']

/**
 * The first upstream at this place. Without a configuration file any host of Artifact Registry is
 * one, of which the embedded default can list but a few.
 */
export function findUpstream(loaded: Configured, place: Place): FoundUpstream | undefined {
  const here = loaded.config.upstreams.filter(({ url }) => namesOf(url).includes(place.host))
  const upstream = here.find((candidate) => serves(candidate, place.repository))
  if (upstream !== undefined) return { upstream, isWhole: here.length === 1 && servesAll(upstream) }
  const google = isGoogle(place.host) ? googleDefault(loaded) : undefined
  return google && { upstream: { ...google, url: `https://${place.host}` }, isWhole: true }
}

/** What a kubelet's `matchImages` must say so that it asks for all that has a credential here. */
export function imagePatterns(loaded: Configured): readonly string[] {
  const hosts = loaded.config.upstreams
    .filter(({ credentials }) => credentials.type !== 'anonymous')
    .map(({ url }) => hostOf(url))
    .map((host) => (hubHosts.includes(host) ? 'docker.io' : host))
  if (googleDefault(loaded) === undefined) return [...new Set(hosts)]
  return [...new Set([...googlePatterns, ...hosts.filter((host) => !isGoogle(host))])]
}

/** What docker's configuration calls an upstream. */
export function serverOf({ url }: Upstream): string {
  const host = hostOf(url)
  return hubHosts.includes(host) ? hubKey : host
}

/** The embedded default's way to all of Artifact Registry; undefined where a file says what there is. */
function googleDefault({ config, file }: Configured): Upstream | undefined {
  if (file !== undefined) return undefined
  return config.upstreams.find(({ credentials }) => credentials.type === 'google')
}

function isGoogle(host: string): boolean {
  return googleHosts.some((pattern) => pattern.test(host))
}

function hostOf(url: string): string {
  return new URL(url).host
}

/** All that a URL's host is called, with the port that need not be named. */
function namesOf(url: string): readonly string[] {
  const { host, hostname, port, protocol } = new URL(url)
  if (hubHosts.includes(host)) return hubHosts
  return [host, `${hostname}:${port || (protocol === 'https:' ? '443' : '80')}`]
}

function serves(
  { repositories: include, except }: Upstream,
  repository: string | undefined,
): boolean {
  return repository === undefined || createMatcher({ include, except })(repository)
}

function servesAll({ repositories, except }: Upstream): boolean {
  return repositories.includes('**') && except.length === 0
}
