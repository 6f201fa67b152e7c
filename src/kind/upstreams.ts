import { dockerHubHosts } from '../oci/docker-hub.ts'

/** Hosts whose logins are in docker's config.json itself, and those that a credential helper keeps. */
export type DockerLogins = {
  readonly inFile: readonly string[]
  readonly inHelper: readonly string[]
}

/** Files of the developer that the container may read; undefined: there is none. */
export type LocalFiles = {
  readonly google: string | undefined
  readonly aws: string | undefined
  readonly docker: string | undefined
}

type CredentialType = 'anonymous' | 'google' | 'aws' | 'docker-config'

export type Upstream = {
  readonly prefix: string
  readonly url: string
  readonly credentials: { readonly type: CredentialType }
}

/**
 * The upstreams of the registry, by their hosts, each with the developer's own credentials for it: Google's application default
 * credentials, AWS's files, or the login in docker's config.json.
 */
export function upstreamsFor(
  hosts: readonly string[],
  files: LocalFiles,
  logins: DockerLogins,
): { readonly upstreams: readonly Upstream[]; readonly notes: readonly string[] } {
  const upstreams = hosts.map((host) => ({
    prefix: host,
    url: `https://${addressOf(host)}`,
    credentials: { type: credentialType(host, files, logins.inFile) },
  }))
  const notes = upstreams
    .filter(
      ({ credentials, prefix }) =>
        credentials.type === 'anonymous' && isIn(prefix, logins.inHelper),
    )
    .map(
      ({ prefix }) =>
        `docker keeps the login for ${prefix} in a credential helper, which a container cannot run: images of ${prefix} are pulled without it`,
    )
  return { upstreams, notes }
}

function addressOf(host: string): string {
  return dockerHubHosts.includes(host) ? 'registry-1.docker.io' : host
}

function credentialType(
  host: string,
  files: LocalFiles,
  logins: readonly string[],
): CredentialType {
  if (files.docker !== undefined && isIn(host, logins)) return 'docker-config'
  const isGoogle = /(^|[.-])(gcr\.io|docker\.pkg\.dev)$/.test(host)
  if (isGoogle && files.google !== undefined) return 'google'
  const isAmazon = /\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$/.test(host)
  return isAmazon && files.aws !== undefined ? 'aws' : 'anonymous'
}

function isIn(host: string, logins: readonly string[]): boolean {
  const names = dockerHubHosts.includes(host) ? dockerHubHosts : [host]
  return names.some((name) => logins.includes(name))
}
