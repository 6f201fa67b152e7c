import type { Auth } from '../auth/auth.ts'
import { parseDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { mediaTypes } from '../oci/manifest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Registry } from '../registry/registry.ts'
import type { Call, RepositoryCall } from './call.ts'
import { provenanceHeaders, sendJson } from './replies.ts'

/** Listing tags (distribution-spec). */
export async function getTags({ repository, name, query, reply }: RepositoryCall) {
  const answer = await repository.tags()
  if (answer === undefined)
    throw new RegistryError('NAME_UNKNOWN', { message: `there is no repository ${name}` })
  const { tags, ...provenance } = answer
  const page = cut(tags, query)
  reply.headers(provenanceHeaders(provenance))
  if (page.next !== undefined) reply.header('link', linkTo(`/v2/${name}/tags/list`, page.next))
  return sendJson(reply, { name, tags: page.entries })
}

/**
 * The catalogue, which docker's registry had and the specification has not; its shape is
 * Distribution's.
 */
export function createGetCatalog(registry: Registry, auth: Auth) {
  return async ({ identity, query, reply }: Call) => {
    const all = await registry.catalog()
    const page = cut(
      all.filter((name) => isVisible(registry, auth, identity, name)),
      query,
    )
    if (page.next !== undefined) reply.header('link', linkTo('/v2/_catalog', page.next))
    return sendJson(reply, { repositories: page.entries })
  }
}

/** Listing referrers (distribution-spec). */
export async function getReferrers({ repository, last, query, reply }: RepositoryCall) {
  const digest = parseDigest(last)
  const { descriptors, ...provenance } = await repository.referrers(digest)
  const wanted = query.get('artifactType')
  const manifests =
    wanted === null
      ? descriptors
      : descriptors.filter((descriptor) => artifactTypeOf(descriptor) === wanted)
  reply.headers(provenanceHeaders(provenance))
  if (wanted !== null) reply.header('oci-filters-applied', 'artifactType')
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
    // No longer served, though it is still in the cache.
    return false
  }
}

function artifactTypeOf(descriptor: unknown): unknown {
  return typeof descriptor === 'object' && descriptor !== null && 'artifactType' in descriptor
    ? descriptor.artifactType
    : undefined
}

type Page<Entry> = {
  readonly entries: readonly Entry[]
  readonly next?: { readonly n: number; readonly last: string }
}

/**
 * `n` entries after `last`, which need not be one of them. `n=0` asks for none, and for no more
 * (distribution-spec).
 */
function cut<Entry extends string>(sorted: readonly Entry[], query: URLSearchParams): Page<Entry> {
  const last = query.get('last')
  const rest = last === null ? sorted : sorted.filter((entry) => entry > last)
  const n = parseCount(query.get('n'))
  const entries = n === undefined ? rest : rest.slice(0, n)
  const end = entries.at(-1)
  return n === undefined || end === undefined || entries.length === rest.length
    ? { entries }
    : { entries, next: { n, last: end } }
}

function parseCount(text: string | null): number | undefined {
  if (text === null) return undefined
  if (!/^\d{1,9}$/.test(text))
    throw new RegistryError('UNSUPPORTED', {
      status: 400,
      message: 'n must be a number, 0 or more',
    })
  return Number(text)
}

function linkTo(path: string, next: { n: number; last: string }): string {
  return `<${path}?n=${next.n}&last=${encodeURIComponent(next.last)}>; rel="next"`
}
