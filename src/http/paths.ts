import { RegistryError } from '../oci/errors.ts'

/** The path, decoded once, and the query of a request target. */
export type Target = { readonly path: string; readonly query: URLSearchParams }

const emptyQuery = new URLSearchParams()
/** In characters: room for a name of 255, a digest of 135 and thirty tags of 128, percent-encoded. */
const maxTargetLength = 8192

/**
 * Parses a request target in origin form (RFC 9112, section 3.2.1). Rejects the absolute form, which
 * servers and proxies may route differently, and invalid percent-encoding. Normalizes nothing: a path
 * with `..` or `//` is no valid repository name.
 */
export function parseTarget(target: string): Target {
  if (target.length > maxTargetLength)
    throw invalid(`the request target is longer than ${maxTargetLength} characters`, 414)
  if (!target.startsWith('/')) throw invalid('the request target must be a path')
  const queryStart = target.indexOf('?')
  const path = queryStart < 0 ? target : target.slice(0, queryStart)
  return {
    path: path.includes('%') ? decode(path) : path,
    query: queryStart < 0 ? emptyQuery : new URLSearchParams(target.slice(queryStart + 1)),
  }
}

/**
 * The text in the places of `<name>` and of the last placeholder, such as `<digest>`, of a pattern; not
 * parsed yet.
 */
export type Captures = { readonly name: string; readonly reference: string }

/**
 * Creates a matcher for a pattern such as `/v2/<name>/blobs/<digest>`. `<name>` is greedy, since a
 * repository may be named `a/blobs/b`; the last placeholder matches one segment.
 */
export function pathMatcher(pattern: string): (path: string) => Captures | undefined {
  const [before = '', after] = pattern.split('<name>')
  if (after === undefined)
    return (path) => (path === pattern ? { name: '', reference: '' } : undefined)
  const [marker = '', placeholder] = after.split('<')
  return (path) => {
    if (!path.startsWith(before)) return undefined
    const at = path.lastIndexOf(marker)
    if (at < before.length) return undefined
    const reference = path.slice(at + marker.length)
    if (placeholder === undefined ? reference !== '' : reference === '' || reference.includes('/'))
      return undefined
    return { name: path.slice(before.length, at), reference }
  }
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch (cause) {
    throw new RegistryError('NAME_INVALID', {
      message: 'the path has invalid percent-encoding',
      cause,
    })
  }
}

function invalid(message: string, status = 400): RegistryError {
  return new RegistryError('NAME_INVALID', { status, message })
}
