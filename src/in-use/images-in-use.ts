import type { Digest } from '../oci/digest.ts'
import type { ImageReference } from '../oci/image-reference.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { ImageSource, ImageUse } from './image-source.ts'
import { createProtection, type Protection } from './protection.ts'
import {
  digestIn,
  findRunningDigests,
  type RunningDigest,
  type RunningDigests,
} from './running-digests.ts'

/** What must not be deleted, because something runs it or can be rolled back to it. */
export interface InUse {
  /** Why it is not known what is in use; undefined: it is known. While unknown, delete nothing. */
  problem(): string | undefined
  /**
   * Whether a workload names the digest, in whatever repository, or the tag. The host of a reference
   * does not count: nodes reach Berth under several names.
   */
  has(entry: {
    readonly name: RepositoryName
    readonly tag?: Tag | undefined
    readonly digest: Digest
  }): boolean
  /** Whether a workload names the digest, in whatever repository. */
  hasDigest(digest: Digest): boolean
  /** Whether a workload names the tag, whatever it points to. */
  hasTag(name: RepositoryName, tag: Tag): boolean
  /** The tags of a repository that workloads name. */
  tagsOf(name: RepositoryName): readonly Tag[]
  /** What names the tag, or one of the digests in whatever repository: each object once for each reference. */
  usesOf(image: {
    readonly name: RepositoryName
    readonly tag?: Tag | undefined
    readonly digests: readonly Digest[]
  }): Iterable<Omit<ImageUse, 'imageId'> & { readonly running?: Digest | undefined }>
  /** What pods run that name the tag: more than one image while pods run that started before it moved. */
  runningOf(name: RepositoryName, tag: Tag): readonly RunningDigest[]
  /** Images that nodes have still to pull, or may pull for new pods, with the namespaces that name them. */
  toPull(): Iterable<Pick<ImageUse, 'image' | 'namespace'>>
  /** Increases with each change of a source. */
  version(): number
  /** What workloads name, without duplicates. */
  references(): readonly ImageReference[]
  close(): Promise<void>
}

/** Without sources nothing is in use, and that is known: no cluster is configured. */
export function createInUse(sources: readonly ImageSource[]): InUse {
  let protection: Protection = createProtection([])
  let seen = -1
  let running: RunningDigests | undefined

  const versionOf = () => sources.reduce((sum, source) => sum + source.version(), 0)

  /** Rebuilt when a source has changed: lookups come in runs, changes one by one. */
  const current = (): Protection => {
    const version = versionOf()
    if (version !== seen) {
      seen = version
      running = undefined
      protection = createProtection(sources.flatMap((source) => [...source.images()]))
    }
    return protection
  }

  const uses = function* () {
    for (const source of sources) yield* source.uses()
  }

  return {
    problem: () => sources.map((source) => source.problem()).find((text) => text !== undefined),
    has: ({ name, tag, digest }) =>
      current().hasDigest(digest) || (tag !== undefined && current().hasTag(name, tag)),
    hasDigest: (digest) => current().hasDigest(digest),
    hasTag: (name, tag) => current().hasTag(name, tag),
    tagsOf: (name) =>
      current().references.flatMap((each) =>
        each.name === name && each.tag !== undefined ? [each.tag] : [],
      ),
    usesOf: function* ({ name, tag, digests }) {
      const texts = current().textsOf({ name, tag, digests: new Set(digests) })
      for (const { imageId, ...use } of uses()) {
        if (!texts.has(use.image)) continue
        const running = digestIn(imageId)
        yield { ...use, ...(running !== undefined && { running }) }
      }
    },
    runningOf: (name, tag) => {
      // Dropped when a source has changed.
      current()
      running ??= findRunningDigests(uses())
      return running.of(name, tag)
    },
    toPull: function* () {
      for (const source of sources) yield* source.toPull()
    },
    version: versionOf,
    references: () => current().references,
    close: async () => {
      await Promise.all(sources.map((source) => source.close()))
    },
  }
}
