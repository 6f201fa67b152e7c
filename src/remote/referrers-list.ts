import { z } from 'zod'
import type { Digest } from '../oci/digest.ts'
import { childrenOf, mediaTypes } from '../oci/manifest.ts'
import { brokenList, type ListContext, nextPage, readPage } from './list-pages.ts'
import { readBody } from './read-body.ts'
import type { RemoteReferrers } from './remote-registry.ts'

const maxPages = 200
/** In bytes, for all pages together. */
const maxList = 8 * 1024 * 1024
/** How many times its text a descriptor takes in memory. */
const parsedFactor = 4

const schema = z.looseObject({ manifests: z.array(z.unknown()).nullish() })

/**
 * What the referrers API says, over all pages. Undefined when the upstream has no such API: it says so
 * in many ways (404, 405, 501; a redirect to its web pages, as ghcr.io's; 401 without a challenge, as
 * Harbor 2.7's; 403), and a refusal that is meant comes again for the tag that is asked for instead.
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
    const answer = await exchange.ask({
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
  return { descriptors, size: bytes * parsedFactor }
}

/**
 * What the referrers tag has instead (distribution-spec, "Referrers Tag Schema"): an index, or the
 * upstream is broken. GitLab takes the tag `sha256-HEX` for the digest and answers with the subject
 * itself, whose children are no referrers.
 */
export function readReferrers(
  { digest, bytes }: { readonly digest: Digest; readonly bytes: Buffer },
  subject: Digest,
  origin: string,
): RemoteReferrers {
  if (digest === subject) return { descriptors: [], size: 0 }
  try {
    return { descriptors: childrenOf(bytes), size: bytes.length * parsedFactor }
  } catch (cause) {
    throw brokenList(origin, 'what the tag of referrers has is no manifest', cause)
  }
}
