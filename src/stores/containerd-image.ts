import type { ImageSource, SourceBlob, SourceManifest } from '../archive/archive.ts'
import { algorithmOf, createDigester, type Digest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { type Descriptor, maxManifestSize, parseManifest } from '../oci/manifest.ts'
import type { Containerd, Lease } from './containerd-client.ts'
import type { FoundImage } from './containerd-images.ts'
import { StoreError } from './store-error.ts'

/** One manifest that an index references; of an image without an index, the image itself. */
export type ImagePart = {
  readonly digest: Digest
  /** Such as `linux/amd64`; its digest if the index does not say. */
  readonly platform: string
  /** Blobs that containerd does not have, its manifest included. */
  readonly missing: readonly Digest[]
}

/** An image as containerd has it: nodes pull one platform of an index, and the others are missing. */
export type ContainerdImage = {
  /** All that is there. Blobs are verified while they are read. */
  readonly source: ImageSource
  readonly digest: Digest
  readonly isIndex: boolean
  readonly parts: readonly ImagePart[]
}

/** Levels of indexes in indexes, and manifests of one image. */
const maxDepth = 8
const maxManifests = 10_000

type Opening = {
  readonly containerd: Containerd
  readonly image: FoundImage
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens an image, and keeps its content from containerd's garbage collector until the source is closed.
 * @throws StoreError `incomplete` if the manifest or index itself is not there.
 */
export async function openContainerdImage(opening: Opening): Promise<ContainerdImage> {
  const { containerd, image } = opening
  const lease = await containerd.lease(image.namespace)
  try {
    return await inspect(opening, lease)
  } catch (error) {
    await release(lease)
    throw error
  }
}

async function inspect(
  { containerd, image, signal }: Opening,
  lease: Lease,
): Promise<ContainerdImage> {
  const { namespace, digest, names } = image
  const manifests = new Map<Digest, SourceManifest>()

  const stat = async (blob: Digest) => {
    signal?.throwIfAborted()
    await lease.add(blob)
    return containerd.content(namespace, blob)
  }

  const read = (blob: SourceBlob, start = 0, until = signal) =>
    verified(blob, {
      start,
      chunks: containerd.read(namespace, blob, { start, signal: until }),
    })

  /** Undefined: it is not there. */
  const manifestOf = async (wanted: Digest, mediaType?: string) => {
    const found = await stat(wanted)
    if (found === undefined) return undefined
    if (found.size > maxManifestSize || manifests.size > maxManifests)
      throw new StoreError('failed', `${wanted} is no image: its manifests are too large`)
    const chunks: Buffer[] = []
    for await (const chunk of read({ digest: wanted, size: found.size })) chunks.push(chunk)
    const bytes = Buffer.concat(chunks)
    const parsed = parse(wanted, bytes, mediaType)
    manifests.set(wanted, { digest: wanted, mediaType: parsed.mediaType, bytes })
    return parsed
  }

  const missingOf = async (child: Descriptor, depth: number): Promise<readonly Digest[]> => {
    if (depth > maxDepth) throw new StoreError('failed', `${digest} has too many levels of indexes`)
    const manifest = await manifestOf(child.digest, child.mediaType)
    if (manifest === undefined) return [child.digest]
    return missingIn(manifest, depth)
  }

  const missingIn = async (
    { isIndex, references }: ReturnType<typeof parse>,
    depth: number,
  ): Promise<readonly Digest[]> => {
    const missing: Digest[] = []
    for (const each of references)
      if (isIndex) missing.push(...(await missingOf(each, depth + 1)))
      else if ((await stat(each.digest))?.size !== each.size) missing.push(each.digest)
    return missing
  }

  const root = await manifestOf(digest)
  if (root === undefined)
    throw new StoreError('incomplete', `containerd has the name, but not the manifest ${digest}`)
  const parts: ImagePart[] = []
  if (root.isIndex)
    for (const child of root.references)
      parts.push({
        digest: child.digest,
        platform: child.platform ?? child.digest,
        missing: await missingOf(child, 1),
      })
  else parts.push({ digest, platform: 'the image', missing: await missingIn(root, 0) })

  const source: ImageSource = {
    images: [{ names, digest }],
    manifest: async (wanted) => {
      const found = manifests.get(wanted)
      if (found === undefined)
        throw new StoreError('incomplete', `containerd does not have the manifest ${wanted}`)
      return found
    },
    read: (blob, { start, signal: until } = {}) => read(blob, start, until),
    close: () => release(lease),
  }
  return { source, digest, isIndex: root.isIndex, parts }
}

/** A lease that cannot be deleted expires. */
async function release(lease: Lease): Promise<void> {
  await lease.release().catch(() => {})
}

function parse(digest: Digest, bytes: Buffer, mediaType: string | undefined) {
  try {
    return parseManifest(bytes, mediaType)
  } catch (error) {
    if (!isRegistryError(error)) throw error
    throw new StoreError('failed', `${digest} is no image: ${error.message}`, error)
  }
}

type Reading = { readonly start: number; readonly chunks: AsyncIterable<Buffer> }

/**
 * The last bytes are held back until the digest is right. The digest of a part of a blob cannot be known; the
 * registry compares that of the whole.
 */
async function* verified(
  { digest, size }: SourceBlob,
  { start, chunks }: Reading,
): AsyncGenerator<Buffer> {
  const digester = createDigester(algorithmOf(digest))
  let last: Buffer | undefined
  for await (const chunk of chunks) {
    if (last !== undefined) yield last
    digester.update(chunk)
    last = chunk
  }
  const isRight = start > 0 || digester.digest() === digest
  if (digester.size + start !== size || !isRight)
    throw new StoreError('failed', `containerd has other bytes than those of ${digest}`)
  if (last !== undefined) yield last
}
