import type { Digest } from '../../oci/digest.ts'
import {
  type Descriptor,
  type Manifest,
  maxManifestSize,
  parseManifestDetails,
} from '../../oci/manifest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { inParallel } from './in-parallel.ts'
import type { HostedParts } from './parts.ts'

/** Indexes below indexes. What is deeper is not looked at. */
const maxDepth = 8

type Item = { readonly kind: 'blob' | 'manifest'; readonly digest: Digest }

/** What a manifest leads to in its repository, except its subject. */
export type Closure = {
  readonly present: readonly Item[]
  /** Direct references that the repository lacks. */
  readonly missing: readonly Digest[]
}

/** Looks for what manifests reference, and keeps it. */
export interface Closures {
  /** Leases everything that is there. */
  find(name: RepositoryName, manifest: Manifest): Promise<Closure>
  /**
   * Looks again at what was there: links and bytes that were removed meanwhile are restored. Returns
   * what cannot be restored.
   */
  restore(name: RepositoryName, closure: Closure): Promise<readonly Digest[]>
}

type ClosuresOptions = Pick<HostedParts, 'store' | 'index' | 'manifests' | 'leases' | 'now'>

export function createClosures(options: ClosuresOptions): Closures {
  const { store, index, manifests, leases, now } = options
  const { blobs, links } = store

  const isLinked = (name: RepositoryName, { kind, digest }: Item): Promise<boolean> =>
    kind === 'blob' ? links.hasBlob(name, digest) : links.hasManifest(name, digest)

  const isThere = async (name: RepositoryName, item: Item): Promise<boolean> =>
    (await isLinked(name, item)) && (await blobs.stat(item.digest)) !== undefined

  const lookForBlob = async (name: RepositoryName, digest: Digest) => {
    const item = { kind: 'blob', digest } as const
    return (await isThere(name, item)) ? [item] : undefined
  }

  /** An index of BuildKit's cache references layers, not manifests. */
  const lookForChild = async (name: RepositoryName, digest: Digest, depth: number) => {
    const item = { kind: 'manifest', digest } as const
    if (!(await isThere(name, item))) return lookForBlob(name, digest)
    const child = depth < maxDepth ? await readable(name, digest) : undefined
    return child === undefined ? [item] : [item, ...(await look(name, child, depth + 1)).present]
  }

  /** What cannot be read, cannot be looked into. */
  const readable = (name: RepositoryName, digest: Digest): Promise<Manifest | undefined> =>
    manifests.stored(name, digest).catch(() => undefined)

  const look = async (
    name: RepositoryName,
    { isIndex, references }: Manifest,
    depth: number,
  ): Promise<Closure> => {
    const digests = distinct(references)
    await Promise.all(digests.map(leases.renew))
    const found = await inParallel(
      digests,
      (digest): Promise<readonly Item[] | undefined> =>
        isIndex ? lookForChild(name, digest, depth) : lookForBlob(name, digest),
    )
    return {
      present: found.flatMap((below) => below ?? []),
      missing: digests.filter((_, at) => found[at] === undefined),
    }
  }

  const relink = async (name: RepositoryName, { kind, digest }: Item, size: number) => {
    const at = now()
    if (kind === 'blob') {
      await links.addBlob(name, digest)
      index?.apply([
        { kind: 'blob', digest, size, at },
        { kind: 'link', name, digest },
      ])
      return
    }
    const bytes = await blobs.read(digest, maxManifestSize)
    if (bytes === undefined) return
    await links.addManifest(name, digest)
    const manifest = parseManifestDetails(bytes)
    index?.apply([
      { kind: 'blob', digest, size, at },
      { kind: 'manifest', name, digest, size, manifest, at },
    ])
  }

  return {
    find: (name, manifest) => look(name, manifest, 0),
    restore: async (name, { present }) => {
      const lost = await inParallel(present, async (item) => {
        // A blob in the trash is brought back when it is looked for.
        const stat = await blobs.stat(item.digest)
        if (stat === undefined) return item.digest
        if (!(await isLinked(name, item))) await relink(name, item, stat.size)
        return undefined
      })
      return lost.filter((digest) => digest !== undefined)
    },
  }
}

function distinct(references: readonly Descriptor[]): readonly Digest[] {
  return [...new Set(references.map(({ digest }) => digest))]
}
