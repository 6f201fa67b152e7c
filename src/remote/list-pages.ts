import type { z } from 'zod'
import { RegistryError } from '../oci/errors.ts'
import type { RequestContext } from './request-context.ts'

/** Where the lists of one repository are, and which upstream serves them. */
export type ListContext = Pick<
  RequestContext,
  'exchange' | 'origin' | 'lastDenial' | 'memory' | 'scrub'
> & {
  /** `/v2/NAME` on the upstream. */
  readonly path: string
  /** The upstream's name for it. */
  readonly repository: string
}

/** Parses one page. A document that is not a list is a failure of the upstream. */
export function readPage<Page>(
  body: Buffer,
  schema: z.ZodType<Page>,
  { origin, path }: Pick<ListContext, 'origin' | 'path'>,
): Page {
  try {
    return schema.parse(JSON.parse(body.toString('utf8')))
  } catch (cause) {
    throw brokenList(origin, `${path} is not a valid list`, cause)
  }
}

/**
 * Path and query of the target of `rel="next"` (RFC 8288), which must be another page of the same
 * list; otherwise a truncated list would look complete. Its scheme and host are ignored, because a
 * registry behind a proxy often does not know its own: the request goes to the upstream's origin.
 */
export function nextPage(
  link: string | undefined,
  first: string,
  origin: string,
): string | undefined {
  const target = nextTarget(link ?? '')
  if (target === undefined) return undefined
  const url = URL.parse(target, origin + first)
  const path = new URL(first, origin).pathname
  // An upstream below a path of its host includes that path; the request adds it again.
  if (url === null || !url.pathname.endsWith(path))
    throw brokenList(origin, `the link to the next page of ${path} has another path`)
  return path + url.search
}

/** Reads each character once, whatever the header contains. */
function nextTarget(link: string): string | undefined {
  for (const [, target, parameters = ''] of link.matchAll(/<([^<>]*)>([^<]*)/g))
    if (/;\s*rel="?next\b/i.test(parameters)) return target
  return undefined
}

export function brokenList(origin: string, what: string, cause?: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', { message: `${origin}: ${what}`, status: 502, cause })
}
