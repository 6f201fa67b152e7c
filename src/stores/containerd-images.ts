import type { Digest } from '../oci/digest.ts'
import type { NamedImage } from './containerd-client.ts'
import type { OpenedContainerd } from './containerd-socket.ts'
import { fullNames, sourcesIn } from './image-names.ts'

/** What is looked for: an image by its name, or anything by its digest. */
export type ImageQuery = { readonly name: string } | { readonly digest: Digest }

export type FoundImage = {
  readonly namespace: string
  /** Of its manifest or index. */
  readonly digest: Digest
  /** All names of this digest there; of content without an image, `HOST/NAME` of where it was pulled from. */
  readonly names: readonly string[]
}

/** One for each name space that has it, in their order. Empty: none has it. */
export async function findImages(
  { containerd, namespaces }: OpenedContainerd,
  query: ImageQuery,
): Promise<readonly FoundImage[]> {
  const found: FoundImage[] = []
  for (const namespace of namespaces) {
    const images = await containerd.images(namespace)
    const digest = 'name' in query ? byName(images, query.name) : byDigest(images, query.digest)
    if (digest !== undefined) {
      found.push({ namespace, digest, names: namesOf(images, digest) })
      continue
    }
    const content =
      'digest' in query ? await containerd.content(namespace, query.digest) : undefined
    if ('digest' in query && content !== undefined)
      found.push({ namespace, digest: query.digest, names: sourcesIn(content.labels) })
  }
  return found
}

function byName(images: readonly NamedImage[], name: string): Digest | undefined {
  for (const candidate of fullNames(name)) {
    const image = images.find((each) => each.name === candidate)
    if (image !== undefined) return image.digest
  }
  return undefined
}

/** The digest of an image, or its ID, under which the CRI plugin stores it as well. */
function byDigest(images: readonly NamedImage[], digest: Digest): Digest | undefined {
  const image =
    images.find((each) => each.digest === digest) ?? images.find((each) => each.name === digest)
  return image?.digest
}

function namesOf(images: readonly NamedImage[], digest: Digest): readonly string[] {
  return images.filter((each) => each.digest === digest).map(({ name }) => name)
}

/** All images of all name spaces, with all their names. */
export async function listImages({
  containerd,
  namespaces,
}: OpenedContainerd): Promise<readonly FoundImage[]> {
  const found: FoundImage[] = []
  for (const namespace of namespaces) {
    const images = await containerd.images(namespace)
    for (const digest of new Set(images.map((image) => image.digest)))
      found.push({ namespace, digest, names: namesOf(images, digest) })
  }
  return found
}
