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

type Kind = 'blob' | 'manifest'
type Item = { readonly kind: Kind; readonly digest: Digest; readonly size: number }

/** What a manifest leads to in its repository, except its subject. */
export type Closure = {
  readonly present: readonly Item[]
  /** Direct references that the repository lacks. */
  readonly missing: readonly Digest[]
  /** Direct references that are there, and whose descriptors have another size. */
  readonly mismatches: readonly {
    readonly digest: Digest
    readonly size: number
    readonly said: number
  }[]
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

  const isLinked = (name: RepositoryName, kind: Kind, digest: Digest): Promise<boolean> =>
    kind === 'blob' ? links.hasBlob(name, digest) : links.hasManifest(name, digest)

  const find = async (
    name: RepositoryName,
    kind: Kind,
    digest: Digest,
  ): Promise<Item | undefined> => {
    if (!(await isLinked(name, kind, digest))) return undefined
    const stat = await blobs.stat(digest)
    return stat && { kind, digest, size: stat.size }
  }

  const lookForBlob = async (name: RepositoryName, digest: Digest) => {
    const item = await find(name, 'blob', digest)
    return item && [item]
  }

  /** An index of BuildKit's cache references layers, not manifests. */
  const lookForChild = async (name: RepositoryName, digest: Digest, depth: number) => {
    const item = await find(name, 'manifest', digest)
    if (item === undefined) return lookForBlob(name, digest)
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
    const sizes = new Map(digests.map((digest, at) => [digest, found[at]?.[0]?.size]))
    return {
      present: found.flatMap((below) => below ?? []),
      missing: digests.filter((digest) => sizes.get(digest) === undefined),
      mismatches: references.flatMap(({ digest, size: said }) => {
        const size = sizes.get(digest) ?? said
        return size === said ? [] : [{ digest, size, said }]
      }),
    }
  }

  const relink = async (name: RepositoryName, { kind, digest, size }: Item) => {
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
        if ((await blobs.stat(item.digest)) === undefined) return item.digest
        if (!(await isLinked(name, item.kind, item.digest))) await relink(name, item)
        return undefined
      })
      return lost.filter((digest) => digest !== undefined)
    },
  }
}

function distinct(references: readonly Descriptor[]): readonly Digest[] {
  return [...new Set(references.map(({ digest }) => digest))]
}
