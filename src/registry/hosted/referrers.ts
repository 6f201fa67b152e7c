import type { Digest } from '../../oci/digest.ts'
import { childrenOf, parseManifestDetails } from '../../oci/manifest.ts'
import { type RepositoryName, referrersTag } from '../../oci/reference.ts'
import type { HostedLinks } from '../../store/store.ts'
import type { KnownManifest, Manifests } from '../manifests.ts'
import type { HostedIndex } from './hosted-index.ts'
import { inParallel } from './in-parallel.ts'

type ReferrersOptions = {
  readonly links: HostedLinks
  readonly manifests: Manifests
  readonly index: HostedIndex | undefined
}

/**
 * Descriptors of the manifests that have a subject (distribution-spec, "Listing Referrers"): those that
 * were pushed with the field, and those that clients listed in the index of the fallback tag
 * (distribution-spec, "Referrers Tag Schema").
 */
export function createReferrers({ links, manifests, index }: ReferrersOptions) {
  const describe = async (name: RepositoryName, digest: Digest) => {
    // One that cannot be read must not hide the others.
    const known = await manifests.stored(name, digest).catch(() => undefined)
    return known && descriptorOf(known)
  }

  /** On a volume of Distribution, only the index knows the subjects of manifests. */
  const byOthers = async (name: RepositoryName, subject: Digest): Promise<readonly Digest[]> => {
    if (index === undefined || index.problem() !== undefined) return []
    return index.referrers(name, subject).catch(() => [])
  }

  const byField = async (name: RepositoryName, subject: Digest): Promise<readonly unknown[]> => {
    const digests = new Set([
      ...(await links.referrers(name, subject)),
      ...(await byOthers(name, subject)),
    ])
    const found = await inParallel([...digests].toSorted(), (digest: Digest) =>
      describe(name, digest),
    )
    return found.filter((descriptor) => descriptor !== undefined)
  }

  const byTag = async (name: RepositoryName, subject: Digest): Promise<readonly unknown[]> => {
    const tag = await links.tag(name, referrersTag(subject))
    if (tag === undefined) return []
    const index = await manifests.stored(name, tag.digest).catch(() => undefined)
    return index === undefined || !index.isIndex ? [] : childrenOf(index.bytes)
  }

  return async (name: RepositoryName, subject: Digest): Promise<readonly unknown[]> => {
    const [fields, listed] = await Promise.all([byField(name, subject), byTag(name, subject)])
    const known = new Set(fields.map(digestIn))
    const others = new Map(listed.map((descriptor) => [digestIn(descriptor), descriptor]))
    for (const digest of known) others.delete(digest)
    return [...fields, ...others.values()]
  }
}

/** As the specification demands; an index has no config that the type could come from. */
function descriptorOf({ digest, bytes }: KnownManifest) {
  const { mediaType, artifactType, annotations } = parseManifestDetails(bytes)
  return {
    mediaType,
    digest,
    size: bytes.length,
    ...(artifactType !== undefined && { artifactType }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
  }
}

function digestIn(descriptor: unknown): unknown {
  return typeof descriptor === 'object' && descriptor !== null && 'digest' in descriptor
    ? descriptor.digest
    : undefined
}
