import { RegistryError } from '../oci/errors.ts'
import { formatReference, parseReference } from '../oci/reference.ts'
import type { RepositoryCall } from './call.ts'
import { hasAlready } from './conditions.ts'
import { provenanceHeaders } from './replies.ts'
import type { CountSent } from './sent-bytes.ts'

/** distribution-spec, "Pulling manifests" and "Checking if content exists in the registry". */
export function createGetManifest(countSent: CountSent) {
  return async ({
    repository,
    name,
    reference: requested,
    request,
    reply,
    record,
  }: RepositoryCall) => {
    const reference = parseReference(requested)
    record.reference = formatReference(reference)
    const isCheck = request.method === 'HEAD' || request.headers['if-none-match'] !== undefined
    const found = await repository.manifest(reference, { isCheck })
    if (found === undefined) {
      throw new RegistryError('MANIFEST_UNKNOWN', {
        message: `${name} has no manifest ${formatReference(reference)}`,
      })
    }

    const { digest, mediaType, bytes, upstream } = found
    if (found.cache !== undefined) record.cache = found.cache
    const etag = `"${digest}"`
    reply.headers({ ...provenanceHeaders(found), 'docker-content-digest': digest, etag })
    if (hasAlready(request, etag)) return reply.code(304).send()

    const sent = request.method === 'HEAD' ? 0 : bytes.length
    record.bytes = sent
    countSent('manifest', upstream, sent)
    return reply.headers({ 'content-type': mediaType, 'content-length': bytes.length }).send(bytes)
  }
}
