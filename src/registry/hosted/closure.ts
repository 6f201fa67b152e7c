import type { Digest } from '../../oci/digest.ts'
import type { Descriptor, Manifest } from '../../oci/manifest.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { HostedBlobs, HostedLinks } from '../../store/store.ts'
import type { Manifests } from '../manifests.ts'
import { inParallel } from './in-parallel.ts'
import type { Leases } from './leases.ts'

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

type ClosuresOptions = {
  readonly blobs: HostedBlobs
  readonly links: HostedLinks
  readonly manifests: Manifests
  readonly leases: Leases
}

export function createClosures({ blobs, links, manifests, leases }: ClosuresOptions): Closures {
  const isLinked = (name: RepositoryName, { kind, digest }: Item): Promise<boolean> =>
    kind === 'blob' ? links.hasBlob(name, digest) : links.hasManifest(name, digest)

  const isThere = async (name: RepositoryName, item: Item): Promise<boolean> => {
    leases.renew(item.digest)
    return (await isLinked(name, item)) && (await blobs.stat(item.digest)) !== undefined
  }

  const belowChild = async (
    name: RepositoryName,
    digest: Digest,
    depth: number,
  ): Promise<readonly Item[]> => {
    if (depth > maxDepth) return []
    const child = await manifests.stored(name, digest).catch(() => undefined)
    return child === undefined ? [] : (await look(name, child, depth)).present
  }

  const look = async (
    name: RepositoryName,
    manifest: Manifest,
    depth: number,
  ): Promise<Closure> => {
    const kind = manifest.isIndex ? 'manifest' : 'blob'
    const items = distinct(manifest.references).map((digest): Item => ({ kind, digest }))
    const found = await inParallel(items, async (item) => {
      if (!(await isThere(name, item))) return undefined
      return kind === 'blob' ? [item] : [item, ...(await belowChild(name, item.digest, depth + 1))]
    })
    return {
      present: found.flatMap((below) => below ?? []),
      missing: items.filter((_, at) => found[at] === undefined).map(({ digest }) => digest),
    }
  }

  return {
    find: (name, manifest) => look(name, manifest, 0),
    restore: async (name, { present }) => {
      const lost = await inParallel(present, async (item) => {
        // A blob in the trash is brought back when it is looked for.
        if ((await blobs.stat(item.digest)) === undefined) return item.digest
        if (await isLinked(name, item)) return undefined
        if (item.kind === 'blob') await links.addBlob(name, item.digest)
        else await links.addManifest(name, item.digest)
        return undefined
      })
      return lost.filter((digest) => digest !== undefined)
    },
  }
}

function distinct(references: readonly Descriptor[]): readonly Digest[] {
  return [...new Set(references.map(({ digest }) => digest))]
}
