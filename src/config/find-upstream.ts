import { dockerHubHosts, dockerHubKey } from '../oci/docker-hub.ts'
import { createMatcher } from '../oci/globs.ts'
import type { ImageLocation } from '../oci/image-location.ts'
import type { Config } from './schema.ts'

type Upstream = Config['upstreams'][number]

type FoundUpstream = {
  readonly upstream: Upstream
  /** The upstream serves all repositories of its host, so one credential is valid for all of them. */
  readonly ownsHost: boolean
}

/** `file` is undefined for the embedded default. */
type Configured = { readonly config: Config; readonly file: string | undefined }

/** Hosts of Artifact Registry, and of Container Registry, which Artifact Registry replaced. */
const googleHosts = [
  /^[a-z0-9-]+-docker\.pkg\.dev$/,
  /^docker\.[a-z0-9-]+\.rep\.pkg\.dev$/,
  /^([a-z0-9-]+\.)?gcr\.io$/,
]
/** The same hosts in the syntax of `matchImages`, where a star matches within one label of a host. */
const googlePatterns = ['*-docker.pkg.dev', 'docker.*.rep.pkg.dev', 'gcr.io', '*.gcr.io']

/**
 * The first configured upstream that serves this location. Without a configuration file, each host of
 * Artifact Registry is an upstream: the embedded default lists only some of them.
 */
export function findUpstream(
  loaded: Configured,
  location: ImageLocation,
): FoundUpstream | undefined {
  const ofHost = loaded.config.upstreams.filter(({ url }) => namesOf(url).includes(location.host))
  const upstream = ofHost.find((candidate) => serves(candidate, location.repository))
  if (upstream !== undefined)
    return { upstream, ownsHost: ofHost.length === 1 && servesAll(upstream) }
  const google = isGoogle(location.host) ? googleDefault(loaded) : undefined
  return google && { upstream: { ...google, url: `https://${location.host}` }, ownsHost: true }
}

/** The `matchImages` patterns with which a kubelet requests credentials for all configured upstreams. */
export function imagePatterns(loaded: Configured): readonly string[] {
  const hosts = loaded.config.upstreams
    .filter(({ credentials }) => credentials.type !== 'anonymous')
    .map(({ url }) => hostOf(url))
    .map((host) => (dockerHubHosts.includes(host) ? 'docker.io' : host))
  if (googleDefault(loaded) === undefined) return [...new Set(hosts)]
  return [...new Set([...googlePatterns, ...hosts.filter((host) => !isGoogle(host))])]
}

/** The key of an upstream in docker's configuration. */
export function dockerKeyOf({ url }: Upstream): string {
  const host = hostOf(url)
  return dockerHubHosts.includes(host) ? dockerHubKey : host
}

/** The upstream of the embedded default that is used for all of Artifact Registry; undefined with a file. */
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

/** All names of a URL's host: with and without the default port, and all names of Docker Hub. */
function namesOf(url: string): readonly string[] {
  const { host, hostname, port, protocol } = new URL(url)
  if (dockerHubHosts.includes(host)) return dockerHubHosts
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
