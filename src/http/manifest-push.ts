import { type Digest, parseDigest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { formatReference, parseReference, parseTag } from '../oci/reference.ts'
import type { Metrics } from '../telemetry/telemetry.ts'
import { assertNotExcluded, preconditionOf } from './conditions.ts'
import type { RequestBodies } from './request-bodies.ts'
import type { WriteCall } from './writing.ts'

/** In bytes: what the specification demands at least. */
const maxManifestSize = 4 * 1024 * 1024
/** Each is written to disk; the specification demands ten. */
const maxTags = 30

type PutManifestOptions = { readonly bodies: RequestBodies; readonly metrics: Metrics }

/** distribution-spec, "Pushing Manifests", "Pushing Manifests with Subject". */
export function createPutManifest({ bodies, metrics }: PutManifestOptions) {
  return async (call: WriteCall) => {
    const { writable, writer, name, request, reply, record } = call
    const reference = parseReference(call.reference)
    record.reference = formatReference(reference)
    const tags = [...new Set(call.query.getAll('tag'))]
    if (tags.length > maxTags) throw tooManyTags(tags.length)
    const parsedTags = tags.map(parseTag)
    if (request.headers['content-range'] !== undefined) throw partial()
    const bytes = await bodies.read(call, maxManifestSize)
    const contentType = request.headers['content-type']
    const { digest, subject } = await writable.putManifest({
      reference,
      tags: parsedTags,
      bytes,
      contentType,
      writer,
      precondition: preconditionOf(request),
    })
    metrics.manifestsPushed.inc()
    const headers = {
      location: `/v2/${name}/manifests/${digest}`,
      'docker-content-digest': digest,
      ...(tags.length > 0 && { 'oci-tag': tags.join(', ') }),
      ...(subject !== undefined && { 'oci-subject': subject }),
    }
    return reply.code(201).headers(headers).send()
  }
}

/** distribution-spec, "Deleting tags" and "Deleting Manifests". A tag is removed without its manifest. */
export async function deleteManifest(call: WriteCall) {
  const { writable, repository, name, request, reply, record } = call
  const reference = parseReference(call.reference)
  record.reference = formatReference(reference)
  const deleteByDigest = async (digest: Digest): Promise<boolean> => {
    const find = () => repository.manifest(reference, { isView: true })
    await assertNotExcluded(request, digest, find)
    return writable.deleteManifest(digest)
  }
  const isDeleted =
    'tag' in reference
      ? await writable.deleteTag(reference.tag, preconditionOf(request))
      : await deleteByDigest(reference.digest)
  if (isDeleted) return reply.code(202).send()
  throw new RegistryError('MANIFEST_UNKNOWN', {
    message: `${name} has no manifest ${formatReference(reference)}`,
  })
}

/** distribution-spec, "Deleting Blobs". */
export async function deleteBlob(call: WriteCall) {
  const { writable, repository, name, request, reply, record } = call
  const digest = parseDigest(call.reference)
  record.reference = digest
  await assertNotExcluded(request, digest, () => repository.statBlob(digest))
  if (await writable.deleteBlob(digest)) return reply.code(202).send()
  throw new RegistryError('BLOB_UNKNOWN', { message: `${name} has no blob ${digest}` })
}

/** RFC 9110, section 14.5: a part must not become the whole. */
function partial(): RegistryError {
  return new RegistryError('MANIFEST_INVALID', {
    message: 'a manifest cannot be pushed in parts: the request has a Content-Range header',
  })
}

function tooManyTags(count: number): RegistryError {
  return new RegistryError('UNSUPPORTED', {
    status: 414,
    message: `cannot push a manifest with ${count} tags in one request: the maximum is ${maxTags}`,
  })
}
