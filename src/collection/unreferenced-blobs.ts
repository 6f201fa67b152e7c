import type { Digest } from '../oci/digest.ts'
import type { CollectedIndex, UnreferencedBlob } from './collected-index.ts'

const pageSize = 1000

/** All blobs that no manifest references, page by page. */
export async function* unreferencedBlobs(
  index: CollectedIndex,
): AsyncGenerator<UnreferencedBlob, void, undefined> {
  let after: Digest | undefined
  for (;;) {
    const page = await index.unreferenced(after, pageSize)
    yield* page
    const last = page.at(-1)
    if (last === undefined || page.length < pageSize) return
    after = last.digest
  }
}
