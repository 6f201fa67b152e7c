import { RegistryError } from '../oci/errors.ts'
import { cutPage, type PageRequest } from '../oci/page.ts'
import type { Registry } from '../registry/registry.ts'
import type { Call, RepositoryCall } from './call.ts'
import { provenanceHeaders, sendJson } from './replies.ts'
import type { Visibility } from './visibility.ts'

/** distribution-spec, "Listing Tags". */
export async function getTags({ repository, name, query, reply }: RepositoryCall) {
  const page = parsePage(query)
  const answer = await repository.tags(page)
  if (answer === undefined)
    throw new RegistryError('NAME_UNKNOWN', { message: `repository ${name} does not exist` })
  const { tags, next, ...provenance } = answer
  reply.headers(provenanceHeaders(provenance))
  if (next !== undefined) reply.header('link', nextLink(`/v2/${name}/tags/list`, page, next))
  return sendJson(reply, { name, tags })
}

/**
 * `/v2/_catalog` as Distribution has it; the specification has none.
 */
export function createGetCatalog(registry: Registry, isVisible: Visibility) {
  return async ({ identity, query, reply }: Call) => {
    const all = await registry.catalog()
    const page = parsePage(query)
    const { entries, next } = cutPage(
      all.filter((name) => isVisible(identity, name)),
      page,
    )
    if (next !== undefined) reply.header('link', nextLink('/v2/_catalog', page, next))
    return sendJson(reply, { repositories: entries })
  }
}

function parsePage(query: URLSearchParams): PageRequest {
  return { n: parseCount(query.get('n')), last: query.get('last') ?? undefined }
}

function parseCount(text: string | null): number | undefined {
  if (text === null) return undefined
  if (!/^\d{1,9}$/.test(text))
    throw new RegistryError('UNSUPPORTED', {
      status: 400,
      message: 'the query parameter n must be an integer of at most nine digits, 0 or greater',
    })
  return Number(text)
}

function nextLink(path: string, { n }: PageRequest, last: string): string {
  const count = n === undefined ? '' : `n=${n}&`
  return `<${path}?${count}last=${encodeURIComponent(last)}>; rel="next"`
}
