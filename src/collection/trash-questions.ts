import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { CollectionParts } from './collection-parts.ts'
import { findKeepReasons } from './keep-reasons.ts'
import { layoutReferences } from './layout-references.ts'
import type { TrashQuestions } from './trash-emptying.ts'

/** By the index. */
export async function indexQuestions(parts: CollectionParts): Promise<TrashQuestions> {
  return { keepReasons: await findKeepReasons(parts), linkedIn: parts.index.linkedIn }
}

/**
 * By the files: a full disk may be the reason why the index is incomplete, and the trash then the only
 * thing that can make room.
 */
export async function layoutQuestions(parts: CollectionParts): Promise<TrashQuestions> {
  const { links } = parts.store
  const referenced = new Set<Digest>()
  for await (const { digest } of layoutReferences(parts.store)) referenced.add(digest)
  const isReferenced = async (digest: Digest) => referenced.has(digest)
  return {
    keepReasons: await findKeepReasons(parts, isReferenced),
    linkedIn: async (digest) => {
      const names: RepositoryName[] = []
      for await (const name of links.names())
        if (await links.hasBlob(name, digest)) names.push(name)
      return names
    },
  }
}
