import { z } from 'zod'
import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { childrenOf, mediaTypes } from '../oci/manifest.ts'
import { isTag, type Tag } from '../oci/reference.ts'
import type { Exchange } from './exchange.ts'
import { readBody } from './read-body.ts'
import type { Answer } from './transport.ts'

/** As many as Amazon ECR gives; it refuses a larger `n`. */
const pageSize = 1000
const mostPages = 200
const longestPage = 8 * 1024 * 1024
const longestList = 32 * 1024 * 1024

const tagsSchema = z.looseObject({ tags: z.array(z.string()).nullish() })
const indexSchema = z.looseObject({ manifests: z.array(z.unknown()).nullish() })

type ListOptions = {
  readonly exchange: Exchange
  /** `/v2/NAME` on the upstream. */
  readonly path: string
  /** As the upstream names it. */
  readonly repository: string
  readonly origin: string
}

/**
 * Follows the upstream's pages to the end, whatever their order, so that ours can be sorted and cut
 * as the spec demands.
 */
export async function fetchTags(options: ListOptions): Promise<readonly Tag[] | undefined> {
  const pages = await fetchPages(options, `${options.path}/tags/list?n=${pageSize}`, tagsSchema)
  if (pages === undefined) return undefined
  const tags = new Set(pages.flatMap((page) => page.tags ?? []).filter(isTag))
  return [...tags].sort()
}

/** Undefined when the upstream has no referrers API. */
export async function fetchReferrers(
  options: ListOptions & { readonly digest: Digest },
): Promise<readonly unknown[] | undefined> {
  const pages = await fetchPages(
    options,
    `${options.path}/referrers/${options.digest}`,
    indexSchema,
    mediaTypes.ociIndex,
  )
  return pages?.flatMap((page) => page.manifests ?? [])
}

/** What the referrers tag has instead: an index, or the upstream is broken. */
export function readReferrers(index: Buffer, origin: string): readonly unknown[] {
  try {
    return childrenOf(index)
  } catch (cause) {
    throw broken(origin, 'what the tag of referrers has is no manifest', cause)
  }
}

async function fetchPages<Page>(
  { exchange, path, repository, origin }: ListOptions,
  first: string,
  schema: z.ZodType<Page>,
  mediaType?: string,
): Promise<readonly Page[] | undefined> {
  const pages: Page[] = []
  let bytes = 0
  let next: string | undefined = first
  while (next !== undefined) {
    if (pages.length === mostPages) throw broken(origin, `${path} has more than ${mostPages} pages`)
    const answer: Answer = await exchange.ask({ method: 'GET', path: next, repository })
    if (
      answer.status !== 200 ||
      (mediaType !== undefined && !answer.header('content-type')?.startsWith(mediaType))
    ) {
      answer.drop()
      if (pages.length > 0) throw broken(origin, `${path} broke off with ${answer.status}`)
      return undefined
    }
    const body = await readBody(answer, longestPage)
    bytes += body.length
    if (bytes > longestList) throw broken(origin, `${path} is longer than ${longestList} bytes`)
    pages.push(readPage(body, schema, origin, path))
    next = nextPage(answer.header('link'), origin, first)
  }
  return pages
}

function readPage<Page>(body: Buffer, schema: z.ZodType<Page>, origin: string, path: string): Page {
  try {
    return schema.parse(JSON.parse(body.toString('utf8')))
  } catch (cause) {
    throw broken(origin, `${path} is no list`, cause)
  }
}

/**
 * The target of `rel="next"` (RFC 8288), which must be another page of the same list on the same origin:
 * a list that was cut off there would look whole.
 */
function nextPage(link: string | undefined, origin: string, first: string): string | undefined {
  const target = nextTarget(link ?? '')
  if (target === undefined) return undefined
  const url = URL.parse(target, origin + first)
  const path = new URL(first, origin).pathname
  // An upstream below a path of its host writes that in front; asking puts it there again.
  if (url === null || url.origin !== origin || !url.pathname.endsWith(path))
    throw broken(origin, `the next page of ${path} is said to be elsewhere`)
  return path + url.search
}

/** Reads each character once, however the header is made. */
function nextTarget(link: string): string | undefined {
  for (const [, target, parameters = ''] of link.matchAll(/<([^<>]*)>([^<]*)/g))
    if (/;\s*rel="?next\b/i.test(parameters)) return target
  return undefined
}

function broken(origin: string, what: string, cause?: unknown): RegistryError {
  return new RegistryError('UNAVAILABLE', { message: `${origin}: ${what}`, status: 502, cause })
}
