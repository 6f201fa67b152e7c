import { z } from 'zod'
import { RegistryError } from '../oci/errors.ts'
import { isRepositoryName, type RepositoryName } from '../oci/reference.ts'
import { brokenList, nextPage, readPage } from './list-pages.ts'
import { readBody } from './read-body.ts'
import type { RequestContext } from './request-context.ts'
import { readReason, reasonIn } from './response-error.ts'
import type { Answer } from './transport.ts'

const path = '/v2/_catalog'
/** Entries of a page; the last resort is the registry's own size. */
const pageSizes = [1000, 100]
/** Statuses with which registries reject an `n`. */
const rejections = new Set([400, 405, 413, 414, 416, 422])
const maxPages = 10_000
/** In bytes. */
const maxPage = 8 * 1024 * 1024

const schema = z.looseObject({ repositories: z.array(z.string()).nullish() })

type CatalogContext = Pick<RequestContext, 'exchange' | 'origin' | 'memory' | 'scrub'> & {
  readonly identity: () => string
}

/**
 * The names of all repositories, page by page, as the registry's links lead (distribution, "Listing
 * Repositories"). Not part of the OCI specification: many registries refuse it, or list only for
 * administrators.
 * @throws RegistryError UNSUPPORTED if the registry refuses the list.
 */
export async function* fetchCatalog(
  context: CatalogContext,
): AsyncGenerator<readonly RepositoryName[]> {
  const { origin, memory } = context
  let answer = await requestFirst(context)
  for (let pages = 0; ; pages += 1) {
    if (answer.status !== 200) throw await refusal(context, answer)
    if (pages === maxPages) throw brokenList(origin, `${path} has more than ${maxPages} pages`)
    const next = nextPage(answer.header('link'), path, origin)
    const body = await readBody(answer, maxPage, { memory })
    const { repositories } = readPage(body, schema, { origin, path })
    yield (repositories ?? []).filter(isRepositoryName)
    if (next === undefined) return
    answer = await request(context, next)
  }
}

/** With the largest `n` that the registry accepts. */
async function requestFirst(context: CatalogContext): Promise<Answer> {
  for (const size of pageSizes) {
    const answer = await request(context, `${path}?n=${size}`)
    if (!rejections.has(answer.status)) return answer
    answer.drop()
  }
  return request(context, path)
}

function request({ exchange }: CatalogContext, page: string): Promise<Answer> {
  return exchange.request({
    method: 'GET',
    kind: 'tags',
    path: page,
    repository: '',
    isCatalog: true,
    isOptional: true,
  })
}

async function refusal(
  { origin, identity, scrub }: CatalogContext,
  answer: Answer,
): Promise<RegistryError> {
  const reason = scrub(reasonIn(await readReason(answer)))
  return new RegistryError('UNSUPPORTED', {
    message: `cannot list the repositories of ${origin} as ${identity()}: it answered ${answer.status} to ${path}${reason && `: ${reason}`}`,
    advice:
      'log in as a user who may list them, or name a repository: many registries have no such list (Docker Hub, GitHub), or only for administrators (Harbor, OpenShift)',
    status: answer.status,
  })
}
