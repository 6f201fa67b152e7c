import { type Digest, isDigest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { childrenOf, parseManifestDetails } from '../../oci/manifest.ts'
import { type RepositoryName, referrersTag } from '../../oci/reference.ts'
import { describeReferrer } from '../../oci/referrer.ts'
import type { HostedLinks } from '../../store/store.ts'
import type { Manifests } from '../manifests.ts'
import type { ReferrersRequest } from '../repository.ts'
import type { HostedIndex } from './hosted-index.ts'
import { inParallel } from './in-parallel.ts'

/** Manifests that are read at the same time. Each may need 20 MiB. */
const width = 4

type ReferrersOptions = {
  readonly links: HostedLinks
  readonly manifests: Manifests
  readonly index: HostedIndex | undefined
}

type Listed = { readonly digest: Digest; readonly artifactType?: string }

/**
 * Descriptors of the manifests that have a subject (distribution-spec, "Listing Referrers"): those that
 * were pushed with the field, by digest, and then those that clients listed in the index of the fallback
 * tag (distribution-spec, "Referrers Tag Schema").
 *
 * The danger: annotations are part of a descriptor, and may have 4 MiB each. So no more manifests are
 * described than a page needs.
 */
export function createReferrers({ links, manifests, index }: ReferrersOptions) {
  const describe = async (name: RepositoryName, digest: Digest) => {
    const known = await manifests.stored(name, digest).catch((error: unknown) => {
      // A signature must not be missing because there is no memory to read it.
      if (isRegistryError(error, 'UNAVAILABLE')) throw error
      // One that cannot be read must not hide the others.
      return undefined
    })
    return (
      known && describeReferrer(known.digest, known.bytes.length, parseManifestDetails(known.bytes))
    )
  }

  /** On a volume of Distribution, only the index knows the subjects of manifests. */
  const byOthers = async (name: RepositoryName, subject: Digest): Promise<readonly Digest[]> => {
    if (index === undefined || index.problem() !== undefined) return []
    return index.referrers(name, subject).catch(() => [])
  }

  const byField = async (name: RepositoryName, subject: Digest): Promise<readonly Digest[]> => {
    const [linked, others] = await Promise.all([
      links.referrers(name, subject),
      byOthers(name, subject),
    ])
    const unlinked = others.filter((digest) => !linked.includes(digest))
    // Another process may have deleted it, which the index notices later.
    const isThere = await inParallel(unlinked, (digest) => links.hasManifest(name, digest))
    return [...linked, ...unlinked.filter((_, at) => isThere[at])].toSorted()
  }

  const byTag = async (name: RepositoryName, subject: Digest): Promise<readonly Listed[]> => {
    const tag = await links.tag(name, referrersTag(subject))
    if (tag === undefined) return []
    const known = await manifests.stored(name, tag.digest).catch(() => undefined)
    return known === undefined || !known.isIndex ? [] : childrenOf(known.bytes).filter(isListed)
  }

  /** Clients that find the API delete a manifest, and leave its line in the index of the tag. */
  const thatAreThere = async (name: RepositoryName, listed: readonly Listed[]) => {
    const isThere = await inParallel(listed, ({ digest }) => links.hasManifest(name, digest))
    return listed.filter((_, at) => isThere[at])
  }

  /** Until there are more than the page has. */
  const describeAll = async (
    name: RepositoryName,
    digests: readonly Digest[],
    { artifactType, last, maxSize }: ReferrersRequest,
  ) => {
    const found: Listed[] = []
    const unreadable = new Set<Digest>()
    let size = 0
    for (let at = 0; at < digests.length && size <= maxSize; at += width) {
      const some = digests.slice(at, at + width)
      const described = await inParallel(some, (digest) => describe(name, digest))
      for (const [offset, descriptor] of described.entries()) {
        const digest = some[offset]
        if (descriptor === undefined && digest !== undefined) unreadable.add(digest)
        if (descriptor === undefined) continue
        if (artifactType !== undefined && descriptor.artifactType !== artifactType) continue
        found.push(descriptor)
        // The page before had it already.
        if (descriptor.digest !== last) size += Buffer.byteLength(JSON.stringify(descriptor))
      }
    }
    return { found, unreadable, isWhole: size <= maxSize }
  }

  return async (
    name: RepositoryName,
    subject: Digest,
    page: ReferrersRequest = { maxSize: Number.POSITIVE_INFINITY },
  ): Promise<readonly Listed[]> => {
    const [digests, listed] = await Promise.all([byField(name, subject), byTag(name, subject)])
    const { last } = page
    const known = new Set(digests)
    const isPast = listed.some(({ digest }) => digest === last && !known.has(digest))
    const rest = digests.filter((digest) => last === undefined || (!isPast && digest >= last))
    const { found, unreadable, isWhole } = await describeAll(name, rest, page)
    if (!isWhole) return found
    const others = new Map(listed.map((descriptor) => [descriptor.digest, descriptor]))
    for (const digest of known) if (!unreadable.has(digest)) others.delete(digest)
    return [...found, ...(await thatAreThere(name, [...others.values()]))]
  }
}

/** Anything may be in an index; clients decode the fields of all entries, or none. */
function isListed(value: unknown): value is Listed {
  if (typeof value !== 'object' || value === null) return false
  const {
    mediaType,
    digest,
    size,
    artifactType = '',
  }: Readonly<Record<string, unknown>> = { ...value }
  return (
    typeof digest === 'string' &&
    isDigest(digest) &&
    typeof mediaType === 'string' &&
    typeof size === 'number' &&
    typeof artifactType === 'string'
  )
}
