import type { Digest } from '../oci/digest.ts'
import type { Image } from './image.ts'

/** What a manifest is to another one of its repository. */
type Relation = 'child-of' | 'subject-of' | 'referrer-of'

export type Related = { readonly kind: Relation; readonly of: Digest }

export interface Relations {
  /** Manifests that this one is a part of: indexes that contain it, and its subject. */
  ownersOf(image: Image): readonly Related[]
  /** It has no tag of its own, and an owner. */
  isPart(image: Image): boolean
  /** The manifests reachable from `roots`, with how they are; undefined for the roots. */
  reachable(roots: readonly Digest[]): ReadonlyMap<Digest, Related | undefined>
}

/**
 * Indexes reach their children, referrers their subject, and subjects their referrers. A manifest that
 * is not in the repository is ignored.
 */
export function createRelations(images: readonly Image[]): Relations {
  const known = new Set(images.map(({ digest }) => digest))
  const edges = new Map<Digest, { readonly to: Digest; readonly kind: Relation }[]>()
  const owners = new Map<Digest, Related[]>()
  for (const { digest, children, subject } of images) {
    for (const child of children.filter((each) => known.has(each))) {
      append(edges, digest, { to: child, kind: 'child-of' })
      append(owners, child, { kind: 'child-of', of: digest })
    }
    if (subject === undefined || !known.has(subject)) continue
    append(edges, digest, { to: subject, kind: 'subject-of' })
    append(edges, subject, { to: digest, kind: 'referrer-of' })
    append(owners, digest, { kind: 'referrer-of', of: subject })
  }

  return {
    ownersOf: ({ digest }) => owners.get(digest) ?? [],
    isPart: ({ digest, tags }) => tags.length === 0 && owners.has(digest),
    reachable: (roots) => {
      const reached = new Map<Digest, Related | undefined>(roots.map((root) => [root, undefined]))
      // A Map iterates over what is added meanwhile.
      for (const of of reached.keys())
        for (const { to, kind } of edges.get(of) ?? [])
          if (!reached.has(to)) reached.set(to, { kind, of })
      return reached
    },
  }
}

function append<Key, Value>(lists: Map<Key, Value[]>, key: Key, value: Value): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [value])
  else list.push(value)
}
