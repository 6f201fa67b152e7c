import { isDigest, parseDigest } from '../oci/digest.ts'
import { mediaTypes } from '../oci/manifest.ts'
import type { RepositoryCall } from './call.ts'
import { provenanceHeaders, sendJson } from './replies.ts'

/** In bytes of descriptors: clients read an index of at most 4 MiB, as they do a manifest. */
const maxPageSize = 3 * 1024 * 1024

type Page = { readonly manifests: readonly unknown[]; readonly next?: string }

/** distribution-spec, "Listing Referrers". A long list comes in pages, each with a link to the next one. */
export async function getReferrers(call: RepositoryCall) {
  const { repository, name, reference, query, reply, record } = call
  const digest = parseDigest(reference)
  record.reference = digest
  const artifactType = query.get('artifactType') ?? undefined
  const last = query.get('last') ?? undefined
  const page = { artifactType, last, maxSize: maxPageSize }
  const { descriptors, ...provenance } = await repository.referrers(digest, page)
  const matching =
    artifactType === undefined
      ? descriptors
      : descriptors.filter((descriptor) => fieldOf(descriptor, 'artifactType') === artifactType)
  const { manifests, next } = cutPage(matching, last)
  reply.headers(provenanceHeaders(provenance))
  if (artifactType !== undefined) reply.header('oci-filters-applied', 'artifactType')
  if (next !== undefined) {
    const rest = new URLSearchParams({
      ...(artifactType !== undefined && { artifactType }),
      last: next,
    })
    reply.header('link', `</v2/${name}/referrers/${digest}?${rest}>; rel="next"`)
  }
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }
  return sendJson(reply, index, mediaTypes.ociIndex)
}

/**
 * The descriptors after the one with the digest `last`. If that was deleted since, those with a greater
 * digest: hosted repositories list them in this order.
 */
function cutPage(descriptors: readonly unknown[], last: string | undefined): Page {
  const at = descriptors.findIndex((descriptor) => fieldOf(descriptor, 'digest') === last)
  const rest =
    last === undefined
      ? descriptors
      : at < 0
        ? descriptors.filter((descriptor) => String(fieldOf(descriptor, 'digest')) > last)
        : descriptors.slice(at + 1)
  const manifests = fitting(rest)
  const end = fieldOf(manifests.at(-1), 'digest')
  const isWhole = manifests.length === rest.length || typeof end !== 'string' || !isDigest(end)
  return isWhole ? { manifests: rest } : { manifests, next: end }
}

/** As many as fit into a page, at least one. */
function fitting(descriptors: readonly unknown[]): readonly unknown[] {
  let size = 0
  const end = descriptors.findIndex((descriptor, at) => {
    size += Buffer.byteLength(JSON.stringify(descriptor)) + 1
    return at > 0 && size > maxPageSize
  })
  return end < 0 ? descriptors : descriptors.slice(0, end)
}

function fieldOf(descriptor: unknown, field: 'artifactType' | 'digest'): unknown {
  return typeof descriptor === 'object' && descriptor !== null && field in descriptor
    ? Reflect.get(descriptor, field)
    : undefined
}
