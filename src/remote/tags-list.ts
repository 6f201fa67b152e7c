import { z } from 'zod'
import { type CacheMemory, createTurns } from '../memory/memory.ts'
import { cutPage, type PageRequest } from '../oci/page.ts'
import { isTag, type Tag } from '../oci/reference.ts'
import { assertDocument, isFound } from './answers.ts'
import { brokenList, type ListContext, nextPage, readPage } from './list-pages.ts'
import { notEnoughMemory, readBody } from './read-body.ts'
import type { RemoteTags } from './remote-registry.ts'

/** Longer pages, in bytes, are parsed one per turn: an upstream that ignores `n` sends its whole list. */
const maxParsedAtOnce = 256 * 1024
/** Memory of a page while it waits and is read, as a multiple of its text. */
const parsedCopies = 3
/**
 * The default and maximum number of tags in a page: Amazon ECR rejects more than 1000. When an
 * upstream rejects a size, the next one is tried, and at last a request without `n`.
 */
const pageSizes = [1000, 100]
/** Statuses with which upstreams reject an `n`. */
const rejections = new Set([400, 405, 413, 414, 416, 422])
/** In bytes: an upstream that ignores `n` sends 200,000 tags. */
const maxPage = 8 * 1024 * 1024
/** Empty pages that are followed before the list fails. */
const maxEmptyPages = 10
/** An upstream's own link to the next page: how long it is cached in ms, and its maximum length. */
const linkTtl = 600_000
const maxLink = 2048
/** Memory of a tag besides its text, in bytes. */
const tagOverhead = 32

const schema = z.looseObject({ tags: z.array(z.string()).nullish() })

/** Lists of tags of one upstream, page by page. */
export interface TagsList {
  fetch(context: ListContext, page: PageRequest): Promise<RemoteTags | undefined>
}

/**
 * A page of Berth is a page of the upstream: `n` and `last` are passed on. If the upstream's
 * link to the next page contains more than `last` (an opaque token), the link is cached under the
 * last tag of the page.
 */
export function createTagsList(caches: CacheMemory): TagsList {
  const links = caches.create<string>({ ttl: linkTtl })
  const takeTurn = createTurns()
  let accepted = 0

  const readInTurn = async (body: Buffer, context: ListContext) => {
    if (body.length <= maxParsedAtOnce) return tagsIn(readPage(body, schema, context))
    const release = context.memory.reserve(body.length * parsedCopies)
    if (release === undefined) throw notEnoughMemory()
    try {
      await takeTurn()
      const page = readPage(body, schema, context)
      await takeTurn()
      return tagsIn(page)
    } finally {
      release()
    }
  }

  const request = async (context: ListContext, path: string) =>
    context.exchange.request({ method: 'GET', kind: 'tags', path, repository: context.repository })

  /** The first page of a request, with the largest `n` that the upstream accepts. */
  const requestFirst = async (context: ListContext, { n, last }: PageRequest) => {
    for (;;) {
      const size = pageSizes[accepted]
      const path = pathOf(context, size && Math.min(Math.max(n ?? size, 1), size), last)
      const answer = await request(context, path)
      if (size === undefined || !rejections.has(answer.status)) return answer
      answer.drop()
      accepted += 1
    }
  }

  const keyOf = ({ repository }: ListContext, last: string | undefined) => `${repository} ${last}`

  const fetchPage = async (context: ListContext, page: PageRequest, known: string | undefined) => {
    const { origin, path } = context
    const answer = await (known === undefined
      ? requestFirst(context, page)
      : request(context, known))
    if (!(await isFound(answer, context))) return undefined
    const link = nextPage(answer.header('link'), `${path}/tags/list`, origin)
    const body = await readBody(answer, maxPage, { memory: context.memory })
    assertDocument(answer, body, context)
    return { tags: await readInTurn(body, context), link }
  }

  return {
    fetch: async (context, page) => {
      let known = links.get(keyOf(context, page.last))
      for (let pages = 0; pages < maxEmptyPages; pages += 1) {
        const found = await fetchPage(context, page, known)
        if (found === undefined) return undefined
        const { tags, link } = found
        // Some upstreams ignore `last`; a page from the upstream's own link starts where the
        // upstream chooses.
        const last = known === undefined ? page.last : undefined
        const { entries, next } = cutPage(tags, { n: page.n, last })
        const end = entries.at(-1)
        if (end === undefined && link !== undefined && page.n !== 0) {
          known = link
          continue
        }
        if (next === undefined && link !== undefined && end !== undefined) {
          if (link.length <= maxLink) links.set(keyOf(context, end), link)
          return tagsOf(entries, end)
        }
        return tagsOf(entries, next)
      }
      throw brokenList(context.origin, `${context.path}/tags/list returned only empty pages`)
    },
  }
}

function tagsIn({ tags }: z.infer<typeof schema>): readonly Tag[] {
  return [...new Set((tags ?? []).filter(isTag))].sort()
}

function pathOf({ path }: ListContext, n: number | undefined, last: string | undefined): string {
  const query = [
    ...(n === undefined ? [] : [`n=${n}`]),
    ...(last === undefined ? [] : [`last=${encodeURIComponent(last)}`]),
  ].join('&')
  return `${path}/tags/list${query && `?${query}`}`
}

function tagsOf(tags: readonly Tag[], next: string | undefined): RemoteTags {
  const size = tags.reduce((sum, tag) => sum + tag.length + tagOverhead, 0)
  return { tags, size, ...(next !== undefined && { next }) }
}
