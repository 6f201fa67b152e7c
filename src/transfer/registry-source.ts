import { setTimeout as sleep } from 'node:timers/promises'
import type { ImageSource, ReadOptions, SourceBlob, SourceManifest } from '../archive/archive.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import { parseManifest } from '../oci/manifest.ts'
import { formatReference, type Reference, type RepositoryName } from '../oci/reference.ts'
import type { Remote, RemoteManifest } from '../remote/remote.ts'

export type RemoteImage = {
  readonly remote: Remote
  readonly name: RepositoryName
  readonly reference: Reference
}

/** Attempts in a row that bring no byte; and the pause before each, in milliseconds. */
const maxFruitless = 4
const pause = 1000

/**
 * An image in a registry as a source. Blobs are not verified here: who reads one compares its digest.
 * @throws RegistryError MANIFEST_UNKNOWN if there is no such image; others as Remote does.
 */
export async function openRegistryImage(image: RemoteImage): Promise<ImageSource> {
  const { remote, name, reference } = image
  const root = take(await remote.manifest(name, reference), image)
  return {
    images: [{ names: [`${name}:${formatReference(reference)}`], digest: root.digest }],
    manifest: async (digest) =>
      digest === root.digest
        ? root
        : take(await remote.manifest(name, { digest }), { ...image, reference: { digest } }),
    read: (blob, options) => readBlob(image, blob, options),
    close: async () => {},
  }
}

function take(found: RemoteManifest | undefined, image: RemoteImage): SourceManifest {
  if (found === undefined) throw unknown(image)
  const { digest, bytes, contentType } = found
  try {
    const own = Buffer.from(bytes)
    return { digest, mediaType: parseManifest(own, contentType).mediaType, bytes: own }
  } finally {
    found.release()
  }
}

function unknown({ remote, name, reference }: RemoteImage): RegistryError {
  const separator = 'tag' in reference ? ':' : '@'
  return new RegistryError('MANIFEST_UNKNOWN', {
    message: `${remote.origin} has no ${name}${separator}${formatReference(reference)}`,
  })
}

/** Continues a broken download at the byte that it reached. */
async function* readBlob(
  { remote, name }: RemoteImage,
  { digest, size }: SourceBlob,
  { start = 0, end = size, signal }: ReadOptions = {},
): AsyncGenerator<Buffer> {
  const last = Math.min(end, size)
  let position = start
  let fruitless = 0
  while (position < last) {
    const before = position
    const isRange = last < size
    const part = { remote, name, digest, position, signal, ...(isRange && { end: last }) }
    try {
      for await (const chunk of bodyFrom(part)) {
        position += chunk.length
        yield chunk
      }
    } catch (error) {
      if (!isRegistryError(error, 'UNAVAILABLE') || signal?.aborted) throw error
      fruitless = position > before ? 0 : fruitless + 1
      if (fruitless > maxFruitless) throw error
      await sleep(pause * fruitless, undefined, { ...(signal && { signal }) })
    }
  }
}

type Part = {
  readonly remote: Remote
  readonly name: RepositoryName
  readonly digest: Digest
  readonly position: number
  /** Exclusive; undefined: that of the blob. */
  readonly end?: number
  readonly signal: AbortSignal | undefined
}

const never = new AbortController().signal

async function* bodyFrom(part: Part): AsyncGenerator<Buffer> {
  const { remote, name, digest, position, end, signal } = part
  const range = end === undefined ? undefined : { first: position, last: end - 1 }
  const blob =
    (range && (await remote.blobRange(name, digest, range, signal ?? never))) ??
    (await remote.blob(name, digest, position, { ...(signal && { signal }) }))
  if (blob === undefined)
    throw new RegistryError('BLOB_UNKNOWN', {
      message: `${remote.origin} has no ${name}@${digest}`,
    })
  // A registry without ranges sends the blob from its first byte.
  let skip = position - blob.from
  try {
    for await (const chunks of blob.body)
      for (const chunk of chunks) {
        if (skip < chunk.length) yield Buffer.from(chunk.subarray(skip))
        skip = Math.max(skip - chunk.length, 0)
      }
  } finally {
    blob.drop()
  }
}
