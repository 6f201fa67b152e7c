import { RegistryError } from '../oci/errors.ts'
import { formatReference, parseReference } from '../oci/reference.ts'
import type { ManifestAnswer } from '../registry/registry.ts'
import type { RepositoryCall } from './call.ts'
import { hasAlready } from './conditions.ts'
import { provenanceHeaders, sendBytes } from './replies.ts'
import type { CountSent } from './sent-bytes.ts'

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
    const { digest, mediaType, bytes, upstream, cache } = found
    if (cache !== undefined) record.cache = cache
    const etag = `"${digest}"`
    const headers = provenanceHeaders(found)
    headers['docker-content-digest'] = digest
    headers['etag'] = etag
    if (hasAlready(request, etag)) return reply.headers(headers).code(304).send()

    const sent = request.method === 'HEAD' ? 0 : bytes.length
    record.bytes = sent
    countSent(upstream, sent)
    headers['content-type'] = mediaType
    headers['content-length'] = String(bytes.length)
    return sendBytes(reply, bytes, headers)
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
