import { type Digest, digestOf } from '../oci/digest.ts'
import { mediaTypes, parseManifestDetails } from '../oci/manifest.ts'
import { type RepositoryName, referrersTag, type Tag } from '../oci/reference.ts'
import { describeReferrer } from '../oci/referrer.ts'
import type { Remote } from './remote-registry.ts'

/** A manifest with the field `subject`; any other one is in no list. */
type Referrer = {
  readonly digest: Digest
  readonly bytes: Buffer
  /** As it was pushed, for a manifest that does not say it. */
  readonly mediaType?: string
}

type Registry = Pick<Remote, 'referrers' | 'writer'>

/** What the tag points to now. */
type ReferrersIndex = { readonly tag: Tag; readonly digest: Digest; readonly bytes: Buffer }

/**
 * Adds a manifest that was pushed just now to the list of its subject's referrers, at a registry without the referrers
 * API (distribution-spec, "Pushing Manifests with Subject"). Undefined if nothing had to be changed.
 */
export async function addReferrer(
  registry: Registry,
  name: RepositoryName,
  { digest, bytes, mediaType }: Referrer,
): Promise<ReferrersIndex | undefined> {
  const manifest = parseManifestDetails(bytes, mediaType)
  if (manifest.subject === undefined) return undefined
  const subject = manifest.subject.digest
  const { others, isListed, isTagged } = await readList(registry, name, { subject, digest })
  if (isListed || !isTagged) return undefined
  const descriptor = describeReferrer(digest, bytes.length, manifest)
  return putList(registry, name, { subject, descriptors: [...others, descriptor] })
}

/** Removes one that was deleted just now (distribution-spec, "Deleting Manifests"). */
export async function removeReferrer(
  registry: Registry,
  name: RepositoryName,
  { digest, bytes }: Referrer,
): Promise<ReferrersIndex | undefined> {
  const subject = parseManifestDetails(bytes).subject?.digest
  if (subject === undefined) return undefined
  const { others, isListed, isTagged } = await readList(registry, name, { subject, digest })
  return isListed && isTagged
    ? putList(registry, name, { subject, descriptors: others })
    : undefined
}

async function readList(
  { referrers }: Registry,
  name: RepositoryName,
  { subject, digest }: { readonly subject: Digest; readonly digest: Digest },
) {
  const { descriptors, isTagged } = await referrers(name, subject)
  const others = descriptors.filter((descriptor) => digestIn(descriptor) !== digest)
  return { others, isListed: others.length < descriptors.length, isTagged }
}

async function putList(
  { writer }: Registry,
  name: RepositoryName,
  list: { readonly subject: Digest; readonly descriptors: readonly unknown[] },
): Promise<ReferrersIndex> {
  const mediaType = mediaTypes.ociIndex
  const index = { schemaVersion: 2, mediaType, manifests: list.descriptors }
  const bytes = Buffer.from(JSON.stringify(index))
  const [digest, tag] = [digestOf(bytes), referrersTag(list.subject)]
  await writer.putManifest(name, { tag }, { digest, bytes, mediaType })
  return { tag, digest, bytes }
}

function digestIn(descriptor: unknown): unknown {
  return typeof descriptor === 'object' && descriptor !== null && 'digest' in descriptor
    ? descriptor.digest
    : undefined
}
