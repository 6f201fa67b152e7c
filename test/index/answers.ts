import type { Digest } from '../../src/oci/digest.ts'
import { type ManifestDetails, parseManifestDetails } from '../../src/oci/manifest.ts'
import { isRepositoryName, type RepositoryName } from '../../src/oci/reference.ts'
import type { Volume } from './volume.ts'

/** What the index must answer about a volume, worked out in the simplest way. */
export function expectedAnswers({ stored, repositories }: Volume) {
  const names = [...repositories.keys()].toSorted()
  const manifestsOf = (name: RepositoryName): readonly [Digest, ManifestDetails][] =>
    [...(repositories.get(name)?.manifests ?? [])].flatMap((digest) => {
      const bytes = stored.get(digest)?.bytes
      return bytes === undefined ? [] : [[digest, parseManifestDetails(bytes)]]
    })
  const partsOf = ({ references, foreign }: ManifestDetails) =>
    [...references, ...foreign].map(({ digest }) => digest)
  const sizeOf = (digest: Digest): number => stored.get(digest)?.bytes.length ?? 0

  const referencedBy = (digest: Digest) =>
    names.flatMap((name) =>
      manifestsOf(name)
        .filter(([, manifest]) => partsOf(manifest).includes(digest))
        .map(([manifest]) => ({ name, manifest }))
        .toSorted((a, b) => (a.manifest < b.manifest ? -1 : 1)),
    )
  const linkedIn = (digest: Digest) =>
    names.filter((name) => repositories.get(name)?.links.has(digest))
  const isManifest = (digest: Digest) =>
    names.some((name) => repositories.get(name)?.manifests.has(digest))
  const isBelow = (prefix: string) => (name: string) =>
    prefix === '' || name === prefix || name.startsWith(`${prefix}/`)
  const withManifests = names.filter((name) => (repositories.get(name)?.manifests.size ?? 0) > 0)

  return {
    repositories: (prefix = '') => withManifests.filter(isBelow(prefix)),
    tags: (name: RepositoryName) => [...(repositories.get(name)?.tags.keys() ?? [])].toSorted(),
    referencedBy,
    linkedIn,
    unreferenced: () =>
      [...stored.keys()]
        .filter((digest) => referencedBy(digest).length === 0 && !isManifest(digest))
        .toSorted()
        .map((digest) => ({ digest, size: sizeOf(digest), names: linkedIn(digest) })),
    unreferencedLinks: () =>
      names.flatMap((name) =>
        [...(repositories.get(name)?.links ?? [])]
          .filter((digest) => !referencedBy(digest).some((by) => by.name === name))
          .toSorted()
          .map((digest) => ({ name, digest })),
      ),
    totals: () => ({
      blobs: stored.size,
      bytes: [...stored.keys()].reduce((sum, digest) => sum + sizeOf(digest), 0),
      manifests: names.reduce(
        (sum, name) => sum + (repositories.get(name)?.manifests.size ?? 0),
        0,
      ),
      tags: names.reduce((sum, name) => sum + (repositories.get(name)?.tags.size ?? 0), 0),
      repositories: withManifests.length,
    }),
    images: (name: RepositoryName) => {
      const manifests = new Map(manifestsOf(name))
      return [...(repositories.get(name)?.manifests ?? [])].toSorted().map((digest) => {
        const manifest = manifests.get(digest)
        const isParent = ([, other]: [Digest, ManifestDetails]) =>
          other.isIndex && partsOf(other).includes(digest)
        return {
          digest,
          mediaType: manifest?.mediaType ?? '',
          subject: manifest?.subject?.digest,
          children: manifest?.isIndex ? [...new Set(partsOf(manifest))].toSorted() : [],
          parents: manifestsOf(name)
            .filter(isParent)
            .map(([parent]) => parent)
            .toSorted(),
          tags: [...(repositories.get(name)?.tags ?? [])]
            .filter(([, link]) => link.digest === digest)
            .map(([tag, { at }]) => ({ tag, at }))
            .toSorted((a, b) => (a.tag < b.tag ? -1 : 1)),
        }
      })
    },
    /** `links`: those that count, because no manifest has referenced the blob since they were made. */
    bytes: (prefix: string, links: (name: RepositoryName) => Iterable<Digest>) => {
      const inEach = names
        .filter((name) => isRepositoryName(name) && isBelow(prefix)(name))
        .map(
          (name) =>
            new Set([
              ...(repositories.get(name)?.manifests ?? []),
              ...manifestsOf(name).flatMap(([, manifest]) => partsOf(manifest)),
              ...links(name),
            ]),
        )
      const sum = (digests: Iterable<Digest>) =>
        [...digests].reduce((total, digest) => total + sizeOf(digest), 0)
      return {
        unique: sum(new Set(inEach.flatMap((digests) => [...digests]))),
        total: inEach.reduce((total, digests) => total + sum(digests), 0),
      }
    },
  }
}
