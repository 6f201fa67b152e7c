import type { Digest } from '../oci/digest.ts'
import { RegistryError } from '../oci/errors.ts'
import { formatReference, type Reference, type RepositoryName, type Tag } from '../oci/reference.ts'
import { assertSame, isFound } from './answers.ts'
import { accept } from './manifest-requests.ts'
import { rejectionOf } from './rejection.ts'
import type { RemoteWriter } from './remote-writer.ts'
import type { RequestContext } from './request-context.ts'
import { readReason, reasonIn } from './response-error.ts'
import { retryWrite } from './retry-write.ts'
import type { Answer } from './transport.ts'

const done = [200, 201, 202, 204]

/**
 * Puts and deletes manifests. A PUT whose answer is lost is not repeated blindly: HEAD shows whether the
 * reference leads to the manifest already.
 */
export function createManifestWrites(
  context: RequestContext,
): Pick<RemoteWriter, 'putManifest' | 'deleteManifest' | 'deleteBlob'> {
  const { exchange, origin, pathOf, repositoryOf, scrub } = context
  const manifestPath = (name: RepositoryName, reference: Reference) =>
    `${pathOf(name)}/manifests/${formatReference(reference)}`

  const isThere = async (
    name: RepositoryName,
    reference: Reference,
    digest: Digest,
    signal: AbortSignal | undefined,
  ): Promise<boolean> => {
    const answer = await exchange.request({
      ...(signal && { signal }),
      method: 'HEAD',
      kind: 'manifest',
      path: manifestPath(name, reference),
      repository: repositoryOf(name),
      access: 'push',
      headers: { accept },
    })
    answer.drop()
    return answer.status === 200 && answer.header('docker-content-digest') === digest
  }

  const remove = (name: RepositoryName, path: string) =>
    retryWrite(async (mayBeDone) => {
      const repository = repositoryOf(name)
      const answer = await exchange.request({
        method: 'DELETE',
        kind: 'write',
        path,
        repository,
        access: 'delete',
      })
      if (done.includes(answer.status)) {
        answer.drop()
        return true
      }
      if (answer.status === 400 && isTagPath(path)) throw await onlyByDigest(answer, repository)
      if (answer.status !== 404)
        throw await rejectionOf(answer, {
          ...context,
          repository,
          attempt: `delete from ${repository}`,
        })
      return (await isFound(answer, { ...context, repository })) || mayBeDone
    })

  /** Distribution 2.8 takes the tag for a digest that is wrong. */
  const onlyByDigest = async (answer: Answer, repository: string): Promise<RegistryError> => {
    const reason = scrub(reasonIn(await readReason(answer)))
    return new RegistryError('UNSUPPORTED', {
      message: `cannot delete a tag of ${repository}: ${origin} answered ${answer.status}${reason && `: ${reason}`}, as registries do that delete by digest only`,
    })
  }

  return {
    putManifest: (name, reference, { digest, bytes, mediaType, tags = [] }, signal) =>
      retryWrite(async (mayBeDone) => {
        if (mayBeDone && (await isThere(name, reference, digest, signal)))
          return { isListed: false, tags: [] }
        const repository = repositoryOf(name)
        const answer = await exchange.request({
          method: 'PUT',
          kind: 'write',
          path: manifestPath(name, reference) + tagsQuery(tags),
          repository,
          access: 'push',
          headers: { 'content-type': mediaType },
          body: () => bytes,
          ...(signal && { signal }),
        })
        if (!done.includes(answer.status))
          throw await rejectionOf(answer, {
            ...context,
            repository,
            attempt: `push ${repository}${'tag' in reference ? ':' : '@'}${formatReference(reference)}`,
          })
        answer.drop()
        assertSame(origin, answer, digest)
        const isListed = answer.header('oci-subject') !== undefined
        return { isListed, tags: acknowledged(answer, tags) }
      }, signal),
    deleteManifest: (name, reference) => remove(name, manifestPath(name, reference)),
    deleteBlob: (name, digest) => remove(name, `${pathOf(name)}/blobs/${digest}`),
  }
}

/** A digest has a colon, a tag has none. */
function isTagPath(path: string): boolean {
  return /\/manifests\/[^/:]+$/.test(path)
}

/** distribution-spec, "Pushing Manifests": the parameter `tag`, since version 1.1.1. */
function tagsQuery(tags: readonly Tag[]): string {
  return tags.length === 0 ? '' : `?${tags.map((tag) => `tag=${tag}`).join('&')}`
}

function acknowledged(answer: Answer, tags: readonly Tag[]): readonly Tag[] {
  const set = (answer.header('oci-tag') ?? '').split(',').map((tag) => tag.trim())
  return tags.filter((tag) => set.includes(tag))
}
