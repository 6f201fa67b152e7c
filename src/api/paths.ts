import { RegistryError } from '../oci/errors.ts'
import type { PathTexts } from './call.ts'
import { type OperationName, operations } from './operations.ts'

type Route = {
  readonly operation: OperationName
  readonly method: string
  readonly pattern: RegExp
}

const placeholders = ['name', 'tag', 'reference', 'digest'] as const

const routes: readonly Route[] = Object.entries(operations).map(
  ([operation, { method, path }]) => ({
    operation: operation as OperationName,
    method,
    pattern: patternOf(path),
  }),
)

/** Only the name of a repository contains slashes, and it ends at the first `/-/`. */
function patternOf(path: string): RegExp {
  const source = path
    .replaceAll('.', '\\.')
    .replace('{name}', '(?<name>.+?)')
    .replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')
  return new RegExp(`^${source}$`, 's')
}

export type Found = { readonly operation: OperationName; readonly texts: PathTexts }

/** @throws RegistryError UNSUPPORTED: there is no such path (404), or method (405, with those that are). */
export function findOperation(
  requested: string,
  path: string,
): Found | { readonly allow: readonly string[] } {
  const method = requested === 'HEAD' ? 'GET' : requested
  const matching = routes.filter(({ pattern }) => pattern.test(path))
  const route = matching.find((each) => each.method === method)
  if (route !== undefined)
    return { operation: route.operation, texts: textsIn(route.pattern, path) }
  if (matching.length > 0) return { allow: matching.map((each) => each.method) }
  throw new RegistryError('UNSUPPORTED', {
    status: 404,
    message: 'no such path: /api/openapi.json describes all of them',
  })
}

function textsIn(pattern: RegExp, path: string): PathTexts {
  const groups = pattern.exec(path)?.groups ?? {}
  const [name, tag, reference, digest] = placeholders.map((each) => groups[each] ?? '')
  return { name: name ?? '', tag: tag ?? '', reference: reference ?? '', digest: digest ?? '' }
}
