import type { Auth } from '../auth/auth.ts'
import { parseDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { mediaTypes } from '../oci/manifest.ts'
import { cutPage, type PageRequest } from '../oci/page.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Registry } from '../registry/registry.ts'
import type { Call, RepositoryCall } from './call.ts'
import { provenanceHeaders, sendJson } from './replies.ts'

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
export function createGetCatalog(registry: Registry, auth: Auth) {
  return async ({ identity, query, reply }: Call) => {
    const all = await registry.catalog()
    const page = parsePage(query)
    const { entries, next } = cutPage(
      all.filter((name) => isVisible(registry, auth, identity, name)),
      page,
    )
    if (next !== undefined) reply.header('link', nextLink('/v2/_catalog', page, next))
    return sendJson(reply, { repositories: entries })
  }
}

/** distribution-spec, "Listing Referrers". */
export async function getReferrers({ repository, reference, query, reply }: RepositoryCall) {
  const digest = parseDigest(reference)
  const { descriptors, ...provenance } = await repository.referrers(digest)
  const artifactType = query.get('artifactType')
  const manifests =
    artifactType === null
      ? descriptors
      : descriptors.filter((descriptor) => artifactTypeOf(descriptor) === artifactType)
  reply.headers(provenanceHeaders(provenance))
  if (artifactType !== null) reply.header('oci-filters-applied', 'artifactType')
  return sendJson(
    reply,
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests },
    mediaTypes.ociIndex,
  )
}

function isVisible(
  registry: Registry,
  auth: Auth,
  identity: Call['identity'],
  name: RepositoryName,
): boolean {
  try {
    return auth.allows(identity, 'pull', name, registry.resolve(name).anonymous)
  } catch {
    // In the cache, but no longer in the configuration.
    return false
  }
}

function artifactTypeOf(descriptor: unknown): unknown {
  return typeof descriptor === 'object' && descriptor !== null && 'artifactType' in descriptor
    ? descriptor.artifactType
    : undefined
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
