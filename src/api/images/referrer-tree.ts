import { algorithmOf, type Digest, encodedOf, isDigest } from '../../oci/digest.ts'
import { isRegistryError } from '../../oci/errors.ts'
import { parseManifestDetails } from '../../oci/manifest.ts'
import { isTag } from '../../oci/reference.ts'
import type { Repository, Resolved } from '../../registry/registry.ts'
import type { Details } from '../answers.ts'
import { kindOf } from '../image-kind.ts'
import { createJsonReader, isObject } from '../json-parts.ts'

type Referrer = Details['referrers'][number]
type Tree = { readonly tree: readonly Referrer[]; readonly isTruncated: boolean }

/** Referrers of referrers, as a signature of an SBOM. */
const maxDepth = 3
/** In one answer; each needs a list of its own. */
const maxReferrers = 100
/** Bytes of descriptors in one list. */
const maxListSize = 512 * 1024
/** Tags by which cosign found what belongs to an image before there were referrers. */
const cosignSuffixes = [
  ['sig', 'signature'],
  ['att', 'attestation'],
  ['sbom', 'sbom'],
] as const

/** What refers to a manifest, and what refers to that. */
export function createReferrerTree() {
  return async (
    { repository }: Pick<Resolved, 'repository'>,
    subject: Digest,
    problems: string[],
  ): Promise<Tree> => {
    let left = maxReferrers
    const seen = new Set<string>([subject])

    const below = async (digest: Digest, depth: number): Promise<readonly Referrer[]> => {
      const listed = await listOf(repository, digest, problems)
      const fresh = listed.filter((each) => !seen.has(each.digest)).slice(0, Math.max(0, left))
      left -= listed.length
      for (const each of fresh) seen.add(each.digest)
      const found: Referrer[] = []
      for (const each of fresh) {
        const isLast = depth >= maxDepth || left <= 0 || !isDigest(each.digest)
        found.push({ ...each, referrers: isLast ? [] : await below(each.digest, depth + 1) })
      }
      return found
    }

    const tree = await below(subject, 1)
    const tagged = await byTags(repository, subject, seen)
    return { tree: [...tree, ...tagged], isTruncated: left < 0 }
  }
}

async function listOf(
  repository: Repository,
  digest: Digest,
  problems: string[],
): Promise<readonly Omit<Referrer, 'referrers'>[]> {
  try {
    const { descriptors } = await repository.referrers(digest, { maxSize: maxListSize })
    return descriptors.flatMap(readDescriptor)
  } catch (error) {
    if (!isRegistryError(error)) throw error
    problems.push(`cannot list the referrers of ${digest}: ${error.message}`)
    return []
  }
}

function readDescriptor(value: unknown): readonly Omit<Referrer, 'referrers'>[] {
  if (!isObject(value)) return []
  const { digest, size } = value
  if (typeof digest !== 'string' || !isDigest(digest)) return []
  const read = createJsonReader()
  const mediaType = read.text(value['mediaType']) ?? ''
  const artifactType = read.text(value['artifactType'])
  return [
    {
      digest,
      mediaType,
      size: typeof size === 'number' && Number.isSafeInteger(size) && size >= 0 ? size : 0,
      artifactType,
      annotations: read.labels(value['annotations']),
      kind: kindOf({ mediaType, artifactType }),
    },
  ]
}

/** Without a problem if there is none: most images have no such tags. */
async function byTags(
  repository: Repository,
  subject: Digest,
  seen: Set<string>,
): Promise<readonly Referrer[]> {
  const base = `${algorithmOf(subject)}-${encodedOf(subject)}`
  const found = await Promise.all(
    cosignSuffixes.map(async ([suffix, kind]) => {
      const tag = `${base}.${suffix}`
      if (!isTag(tag)) return []
      const finding = Promise.resolve(repository.manifest({ tag }, { isView: true }))
      const manifest = await finding.catch(() => undefined)
      if (manifest === undefined || seen.has(manifest.digest)) return []
      const { digest, mediaType, bytes } = manifest
      const { artifactType, annotations } = parseManifestDetails(bytes, mediaType)
      const own = { digest, mediaType, size: bytes.length, artifactType, annotations }
      return [{ ...own, kind, tag, referrers: [] }]
    }),
  )
  return found.flat()
}
