import { z } from 'zod'
import type { Digest } from '../oci/digest.ts'
import { childrenOf, mediaTypes } from '../oci/manifest.ts'
import { brokenList, type ListContext, nextPage, readPage } from './list-pages.ts'
import { readBody } from './read-body.ts'
import type { RemoteReferrers } from './remote-registry.ts'

const maxPages = 200
/** In bytes, for all pages together. */
const maxList = 8 * 1024 * 1024
/** Memory of a descriptor, as a multiple of its text. */
const parsedFactor = 4

export const noneTagged: RemoteReferrers = { descriptors: [], size: 0, isTagged: true }

const schema = z.looseObject({ manifests: z.array(z.unknown()).nullish() })

/**
 * The list of the referrers API, over all pages. Undefined when the upstream has no such API.
 * Upstreams report that in many ways (404, 405, 501; a redirect to web pages, as ghcr.io does; 401
 * without a challenge, as Harbor 2.7 does; 403). A genuine refusal recurs when the referrers tag is
 * requested instead.
 */
export async function fetchReferrers(
  context: ListContext,
  digest: Digest,
): Promise<RemoteReferrers | undefined> {
  const { exchange, path, repository, origin } = context
  const first = `${path}/referrers/${digest}`
  const descriptors: unknown[] = []
  let bytes = 0
  let next: string | undefined = first
  for (let pages = 0; next !== undefined; pages += 1) {
    if (pages === maxPages) throw brokenList(origin, `${first} has more than ${maxPages} pages`)
    const answer = await exchange.request({
      method: 'GET',
      kind: 'referrers',
      path: next,
      repository,
      isOptional: true,
    })
    const isList = answer.header('content-type')?.startsWith(mediaTypes.ociIndex)
    if (answer.status !== 200 || !isList) {
      answer.drop()
      if (pages > 0) throw brokenList(origin, `${first} broke off with ${answer.status}`)
      return undefined
    }
    const body = await readBody(answer, maxList - bytes, { memory: context.memory })
    bytes += body.length
    descriptors.push(...(readPage(body, schema, context).manifests ?? []))
    next = nextPage(answer.header('link'), first, origin)
  }
  return { descriptors, size: bytes * parsedFactor, isTagged: false }
}

/**
 * The list of the referrers tag (distribution-spec, "Referrers Tag Schema"): an index, otherwise
 * the upstream is broken. GitLab treats the tag `sha256-HEX` as the digest and answers with the
 * subject itself, whose children are not referrers; it refuses another manifest under that tag.
 */
export function readReferrers(
  { digest, bytes }: { readonly digest: Digest; readonly bytes: Buffer },
  subject: Digest,
  origin: string,
): RemoteReferrers {
  if (digest === subject) return { ...noneTagged, isTagged: false }
  try {
    return { descriptors: childrenOf(bytes), size: bytes.length * parsedFactor, isTagged: true }
  } catch (cause) {
    throw brokenList(origin, 'what the tag of referrers has is no manifest', cause)
  }
}
