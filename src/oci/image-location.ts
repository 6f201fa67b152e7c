import { dockerHubHosts } from './docker-hub.ts'
import { isRepositoryName } from './reference.ts'

/** A registry, and optionally a repository in it, as another program names them. */
export type ImageLocation = {
  /** `host[:port]`, in lower case. */
  readonly host: string
  /** Name of a repository there; undefined: the registry as a whole. */
  readonly repository?: string
}

const authority = /^(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/

/**
 * The server URL that docker and other clients pass to a credential helper: `host`,
 * `https://host/v2/` or, for Docker Hub, `https://index.docker.io/v1/`. The path is ignored, as docker
 * ignores it. Undefined if the text has no host.
 */
export function parseServerUrl(text: string): ImageLocation | undefined {
  const [, named = ''] = /^(?:https?:\/\/)?([^/]*)(?:\/.*)?$/is.exec(text.trim()) ?? []
  const host = named.toLowerCase()
  return authority.test(host) ? { host } : undefined
}

/**
 * An image name, with or without tag and digest, as docker reads it (distribution/reference,
 * "normalize"): the first part is a host if it looks like one; otherwise the whole name belongs to
 * Docker Hub. Undefined if the text is not an image name.
 */
export function parseImageName(
  text: string,
): (ImageLocation & { readonly repository: string }) | undefined {
  const name = text.replace(/@[\w+.-]+:[0-9a-f]+$/, '').replace(/:[^/:]*$/, '')
  const slash = name.indexOf('/')
  const first = name.slice(0, Math.max(slash, 0))
  const isHost = /[.:A-Z]/.test(first) || first === 'localhost'
  const host = isHost ? first.toLowerCase() : 'docker.io'
  const rest = isHost ? name.slice(slash + 1) : name
  const repository = dockerHubHosts.includes(host) && !rest.includes('/') ? `library/${rest}` : rest
  return authority.test(host) && isRepositoryName(repository) ? { host, repository } : undefined
}
