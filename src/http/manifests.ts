import { RegistryError } from '../oci/errors.ts'
import { formatReference, parseReference } from '../oci/reference.ts'
import type { ManifestAnswer } from '../registry/registry.ts'
import type { RepositoryCall } from './call.ts'
import { assertMatch, etagOf, hasAlready } from './conditions.ts'
import { provenanceHeaders, sendBytes } from './replies.ts'
import type { CountSent } from './sent-bytes.ts'

/** A line of the route table. */
export const manifestRoute = '/v2/<name>/manifests/<reference>'

/**
 * distribution-spec, "Pulling manifests" and "Checking if content exists in the registry". Synchronous for a
 * manifest in memory.
 */
export function createGetManifest(countSent: CountSent) {
  const answer = (call: RepositoryCall, found: ManifestAnswer | undefined): unknown => {
    const { name, request, reply, record } = call
    if (found === undefined) {
      throw new RegistryError('MANIFEST_UNKNOWN', {
        message: `${name} has no manifest ${record.reference}`,
      })
    }
    const { digest, bytes, upstream, cache } = found
    if (cache !== undefined) record.cache = cache
    assertMatch(request, etagOf(digest))
    if (hasAlready(request, etagOf(digest)))
      return reply.headers(validators(found)).code(304).send()

    const sent = request.method === 'HEAD' ? 0 : bytes.length
    record.bytes = sent
    countSent(upstream, sent)
    return sendBytes(reply, bytes, manifestHeaders(found))
  }

  return (call: RepositoryCall): unknown => {
    const { repository, request, record } = call
    const reference = parseReference(call.reference)
    record.reference = formatReference(reference)
    const isCheck = request.method === 'HEAD' || request.headers['if-none-match'] !== undefined
    const found = repository.manifest(reference, { isCheck })
    return found instanceof Promise
      ? found.then((later) => answer(call, later))
      : answer(call, found)
  }
}

export function manifestHeaders(found: ManifestAnswer): Readonly<Record<string, string>> {
  return {
    ...validators(found),
    'content-type': found.mediaType,
    'content-length': String(found.bytes.length),
  }
}

/** Those of a 304 as well. */
function validators(found: ManifestAnswer): Record<string, string> {
  const { digest } = found
  return { ...provenanceHeaders(found), 'docker-content-digest': digest, etag: etagOf(digest) }
}
