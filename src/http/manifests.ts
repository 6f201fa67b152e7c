import { RegistryError } from '../oci/errors.ts'
import { formatReference, parseReference } from '../oci/reference.ts'
import type { RepositoryCall } from './call.ts'
import { hasAlready } from './conditions.ts'
import { provenanceHeaders } from './replies.ts'

/** distribution-spec, "Pulling manifests" and "Checking if content exists in the registry". */
export async function getManifest({
  repository,
  name,
  reference: requested,
  request,
  reply,
  record,
}: RepositoryCall) {
  const reference = parseReference(requested)
  record.reference = formatReference(reference)
  const found = await repository.manifest(reference)
  if (found === undefined) {
    throw new RegistryError('MANIFEST_UNKNOWN', {
      message: `${name} has no manifest ${formatReference(reference)}`,
    })
  }

  const { digest, mediaType, bytes, onSent: served } = found
  if (found.cache !== undefined) record.cache = found.cache
  const etag = `"${digest}"`
  reply.headers({ ...provenanceHeaders(found), 'docker-content-digest': digest, etag })
  if (hasAlready(request, etag)) return reply.code(304).send()

  const sent = request.method === 'HEAD' ? 0 : bytes.length
  record.bytes = sent
  served(sent)
  return reply.headers({ 'content-type': mediaType, 'content-length': bytes.length }).send(bytes)
}
