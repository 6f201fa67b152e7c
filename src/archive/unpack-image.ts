import { mkdir, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Digest } from '../oci/digest.ts'
import { isImageConfig } from '../oci/image-config.ts'
import { parseManifestDetails } from '../oci/manifest.ts'
import { ArchiveError } from './archive-error.ts'
import type { ImageSource, SourceBlob } from './image-source.ts'
import { layerBytes } from './layer-bytes.ts'
import { defaultLimits, type Limits } from './limits.ts'
import { createUnpacking, type Unpacked } from './unpack-layer.ts'
import { chooseChild } from './write-archive.ts'

export type UnpackOptions = {
  /** New or empty. What is in it after a failure is removed. */
  readonly directory: string
  /** `os/architecture[/variant]` of the image of an index. */
  readonly platform: string
  readonly limits?: Limits
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes the file system of an image into a directory: its layers in order, with their whiteouts
 * (image-spec, "Image Layer Filesystem Changeset"). Nothing is written outside of the directory, and links
 * of the image are not followed. Files belong to the current user; setuid bits, devices and extended
 * attributes are not restored.
 * @throws ArchiveError; errors of the file system.
 */
export async function unpackImage(
  source: ImageSource,
  digest: Digest,
  { directory, platform, limits = defaultLimits, signal }: UnpackOptions,
): Promise<Unpacked> {
  const layers = await layersOf(source, digest, platform)
  await mkdir(directory, { recursive: true })
  if ((await readdir(directory)).length > 0)
    throw new ArchiveError('invalid', 'the directory to unpack into is not empty')
  const unpacking = await createUnpacking(directory, limits)
  try {
    for (const layer of layers) await unpacking.apply(layerBytes(source, layer, { limits, signal }))
    return await unpacking.finish()
  } catch (error) {
    await empty(directory)
    throw error
  } finally {
    await unpacking.close()
  }
}

async function layersOf(
  source: ImageSource,
  digest: Digest,
  platform: string,
): Promise<readonly SourceBlob[]> {
  const root = await source.manifest(digest)
  const child = chooseChild(root, platform)
  if (child !== undefined) return layersOf(source, child.digest, platform)
  const { config, references, foreign, invalid } = parseManifestDetails(root.bytes, root.mediaType)
  if (config === undefined || !isImageConfig(config.mediaType))
    throw new ArchiveError('not-an-image', 'it is not an image, but another kind of artifact')
  if (foreign.length > 0)
    throw new ArchiveError('missing', 'the image has layers that are distributed elsewhere')
  if (invalid !== undefined)
    throw new ArchiveError('invalid', `${invalid} of the manifest is no valid descriptor`)
  return references.slice(1)
}

async function empty(directory: string): Promise<void> {
  for (const name of await readdir(directory))
    await rm(join(directory, name), { recursive: true, force: true })
}
