import { type Digest, isDigest } from './digest.ts'
import { isRepositoryName, isTag, type RepositoryName, type Tag } from './reference.ts'

/** The parts of an image reference that are valid; a runtime's image id has only a digest. */
export type ImageReference = {
  /** `host[:port]`, in lower case; undefined for a name without one. */
  readonly host?: string
  /** The path after the host. */
  readonly name?: RepositoryName
  /** `latest` if the reference has neither tag nor digest, as runtimes read it. */
  readonly tag?: Tag
  readonly digest?: Digest
}

/**
 * Reads an image reference of a pod (`host:port/name:tag@digest`) or the image id that a kubelet
 * reports (`host/name@digest`, `docker-pullable://host/name@digest`, `sha256:…`). The host is the
 * first part, if it has a dot or a colon or is `localhost` (distribution/reference).
 */
export function parseImageReference(text: string): ImageReference {
  const bare = text.trim().replace(/^[a-z-]+:\/\//, '')
  if (isDigest(bare)) return { digest: bare }
  const at = bare.indexOf('@')
  const digest = at < 0 ? undefined : bare.slice(at + 1)
  const named = at < 0 ? bare : bare.slice(0, at)
  const { host, rest } = splitHost(named)
  const [, path = '', tag] = /^(.*?)(?::([^/:]*))?$/.exec(rest) ?? []
  const implied = tag ?? (digest === undefined ? 'latest' : undefined)
  return {
    ...(host !== undefined && { host }),
    ...(isRepositoryName(path) && { name: path }),
    ...(implied !== undefined && isTag(implied) && { tag: implied }),
    ...(digest !== undefined && isDigest(digest) && { digest }),
  }
}

function splitHost(named: string): { readonly host?: string; readonly rest: string } {
  const slash = named.indexOf('/')
  const first = named.slice(0, Math.max(slash, 0))
  if (!/[.:]/.test(first) && first !== 'localhost') return { rest: named }
  return { host: first.toLowerCase(), rest: named.slice(slash + 1) }
}
