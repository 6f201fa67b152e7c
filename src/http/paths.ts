import { RegistryError } from '../oci/errors.ts'

/** A request's target taken apart: path decoded once, and the query. */
export type Target = { readonly path: string; readonly query: URLSearchParams }

const emptyQuery = new URLSearchParams()
/** In characters: a name of 255, a digest of 135, a query, percent-encoded. */
const maxTargetLength = 4096

/**
 * Reads a request target in origin form (RFC 9112, section 3.2.1). The absolute form, which makes
 * servers and proxies disagree about where a request goes, is refused, as is what does not decode.
 * Nothing is normalised: a name is matched against its grammar as it stands, so that `..` and `//`
 * are simply no names.
 */
export function parseTarget(target: string): Target {
  if (!target.startsWith('/') || target.length > maxTargetLength)
    throw invalid('the request target must be a path of at most 4096 characters')
  const queryStart = target.indexOf('?')
  const path = queryStart < 0 ? target : target.slice(0, queryStart)
  return {
    path: path.includes('%') ? decode(path) : path,
    query: queryStart < 0 ? emptyQuery : new URLSearchParams(target.slice(queryStart + 1)),
  }
}

/**
 * The text between what `pattern` has around `<name>` and at its end, as
 * `/v2/<name>/blobs/<digest>` has.
 */
export type Captures = { readonly name: string; readonly reference: string }

/**
 * A matcher for paths of one shape. `<name>` takes as much as it can, since a repository may be
 * called `a/blobs/b`; the last placeholder takes one segment.
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
      message: 'the path is not properly percent-encoded',
      cause,
    })
  }
}

function invalid(message: string): RegistryError {
  return new RegistryError('NAME_INVALID', { message })
}
