import { type Digest, isDigest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { mediaTypes } from '../oci/manifest.ts'
import { formatReference, type RepositoryName, type Tag } from '../oci/reference.ts'
import { assertDocument, isFound, verifiedManifest, wrongDigest } from './answers.ts'
import { UnconfirmedAnswer } from './faults.ts'
import { createHeadSupport } from './head-support.ts'
import type { ManifestOptions, Remote } from './remote-registry.ts'
import type { RequestContext } from './request-context.ts'

/**
 * All known types, so that the cached content does not depend on the first client's Accept; then
 * any type.
 */
export const accept = [...Object.values(mediaTypes), '*/*;q=0.5'].join(', ')

/**
 * HEAD returns the digest of a tag; GET decides when HEAD does not return one (some registries
 * refuse HEAD, or omit the digest) or answers 404 (Harbor's proxy projects find a manifest only
 * after a GET of it).
 */
export function createManifestRequests(
  context: RequestContext,
): Pick<Remote, 'manifest' | 'resolve'> {
  const { exchange, origin, pathOf, repositoryOf } = context
  const headSupport = createHeadSupport()

  const manifest: Remote['manifest'] = async (name, reference, options) => {
    const answer = await exchange.request({
      ...sendingOf(options),
      method: 'GET',
      kind: 'manifest',
      path: `${pathOf(name)}/manifests/${formatReference(reference)}`,
      repository: repositoryOf(name),
      headers: { accept },
    })
    const requested = { ...context, repository: repositoryOf(name) }
    if (!(await isFound(answer, requested))) return undefined
    const check = (body: Buffer) => assertDocument(answer, body, requested)
    return verifiedManifest(answer, reference, { ...context, check })
  }

  /** Undefined when the HEAD answer does not say. */
  const headTag = async (
    name: RepositoryName,
    tag: Tag | Digest,
    options: ManifestOptions | undefined,
  ): Promise<Digest | undefined> => {
    try {
      const answer = await exchange.request({
        ...sendingOf(options),
        method: 'HEAD',
        kind: 'manifest',
        path: `${pathOf(name)}/manifests/${tag}`,
        repository: repositoryOf(name),
        headers: { accept },
      })
      answer.drop()
      const digest = answer.header('docker-content-digest')
      if (answer.status !== 200 || digest === undefined) return undefined
      if (!isDigest(digest)) throw wrongDigest(origin, tag)
      return digest
    } catch (error) {
      if (isRegistryError(error, 'DENIED') || error instanceof UnconfirmedAnswer) return undefined
      throw error
    }
  }

  return {
    manifest,
    resolve: async (name, tag, options) => {
      const triesHead = headSupport.shouldTry()
      const digest = triesHead ? await headTag(name, tag, options) : undefined
      if (digest !== undefined) {
        headSupport.answered()
        return digest
      }
      const found = await manifest(name, isDigest(tag) ? { digest: tag } : { tag }, options)
      if (triesHead && found !== undefined) headSupport.unsupported()
      return found
    },
  }
}

function sendingOf({ signal, isFresh = false }: ManifestOptions = {}) {
  return { isFresh, ...(signal && { signal }) }
}
