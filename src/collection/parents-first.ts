import type { Digest } from '../oci/digest.ts'
import type { Image } from '../retention/retention.ts'

/** An order in which each index comes before the manifests that it contains. */
export function parentsFirst(images: readonly Image[]): ReadonlyMap<Digest, number> {
  const byDigest = new Map(images.map((image) => [image.digest, image]))
  const visited = new Set<Digest>()
  const childrenFirst: Digest[] = []
  // A digest cannot be in a manifest that its own manifest contains: there are no cycles.
  const visit = (image: Image): void => {
    if (visited.has(image.digest)) return
    visited.add(image.digest)
    for (const child of image.children) {
      const below = byDigest.get(child)
      if (below !== undefined) visit(below)
    }
    childrenFirst.push(image.digest)
  }
  for (const image of images) visit(image)
  return new Map(childrenFirst.toReversed().map((digest, at) => [digest, at]))
}
