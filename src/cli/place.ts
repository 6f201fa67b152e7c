import { hubHosts } from '../oci/docker-hub.ts'
import { isRepositoryName } from '../oci/reference.ts'

/** A registry as somebody else names it, and what of it is meant. */
export type Place = {
  /** `host[:port]`, in small letters. */
  readonly host: string
  /** Name of a repository there; undefined: the registry as a whole. */
  readonly repository?: string
}

const authority = /^(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/

/**
 * What docker and others ask a credential helper for: `host`, `https://host/v2/` or, of Docker Hub,
 * `https://index.docker.io/v1/`. A path is passed over, as docker does. Undefined for what has no host.
 */
export function parseServer(text: string): Place | undefined {
  const [, named = ''] = /^(?:https?:\/\/)?([^/]*)(?:\/.*)?$/is.exec(text.trim()) ?? []
  const host = named.toLowerCase()
  return authority.test(host) ? { host } : undefined
}

/**
 * An image's name, with or without tag and digest, as docker reads it (distribution/reference,
 * "normalize"): its first part is a host if it looks like one; else all of it is Docker Hub's.
 * Undefined for what is no image's name.
 */
export function parseImage(text: string): (Place & { readonly repository: string }) | undefined {
  const name = text.replace(/@[\w+.-]+:[0-9a-f]+$/, '').replace(/:[^/:]*$/, '')
  const slash = name.indexOf('/')
  const first = name.slice(0, Math.max(slash, 0))
  const isHost = /[.:A-Z]/.test(first) || first === 'localhost'
  const host = isHost ? first.toLowerCase() : 'docker.io'
  const rest = isHost ? name.slice(slash + 1) : name
  const repository = hubHosts.includes(host) && !rest.includes('/') ? `library/${rest}` : rest
  return authority.test(host) && isRepositoryName(repository) ? { host, repository } : undefined
}
