import type { Digest } from '../../oci/digest.ts'
import { isRegistryError, RegistryError } from '../../oci/errors.ts'
import type { Tag } from '../../oci/reference.ts'
import type { Remote } from '../../remote/remote.ts'
import { type ContainerdImage, incomplete, partition, platformsOf } from '../../stores/stores.ts'
import { pushImage } from '../../transfer/transfer.ts'
import { linesFor, type Printing } from '../output/image-output.ts'
import { formatTarget, type RescueTarget } from './rescue-target.ts'
import { createTransferProgress } from './transfer-progress.ts'

type Rescue = {
  readonly image: ContainerdImage
  readonly remote: Remote
  readonly target: RescueTarget
  readonly parallel: number
  readonly flags: Printing
  readonly signal: AbortSignal
}

export type Rescued = {
  readonly digest: Digest
  /** Bytes of blobs that were sent, and of blobs that the registry had. */
  readonly sent: number
  readonly present: number
  readonly tags: readonly Tag[]
  /** Tags that the registry has for other images meanwhile. */
  readonly otherTags: readonly Tag[]
  /** Of an index: the platforms that the node does not have. Empty: the image is whole. */
  readonly missing: readonly string[]
}

/**
 * Pushes an image under its own digest. Of an index that is not whole, the images that are there are pushed
 * by their digests, and then the index as it is: pods name images by the digest of their index.
 * @throws StoreError `incomplete` if nothing is whole; RegistryError.
 */
export async function rescueImage(rescue: Rescue): Promise<Rescued> {
  const { image, target } = rescue
  const { whole, broken } = partition(image)
  if (whole.length === 0) throw incomplete(image)
  const otherTags = target.isTagNamed ? [] : await tagsOfOthers(rescue)
  const tags = target.tags.filter((tag) => !otherTags.includes(tag))
  if (broken.length === 0) {
    const pushed = await push(rescue, image.digest, tags)
    return { ...pushed, tags, otherTags, missing: [] }
  }
  let sent = 0
  let present = 0
  for (const part of whole) {
    const pushed = await push(rescue, part.digest, [])
    sent += pushed.sent
    present += pushed.present
  }
  const missing = broken.map(({ platform }) => platform)
  try {
    await putIndex(rescue, tags)
  } catch (error) {
    if (!isRegistryError(error)) throw error
    throw new RegistryError(error.code, {
      message: `pushed ${platformsOf(whole)} to ${target.host}/${target.name} by digest (${whole.map(({ digest }) => digest).join(', ')}), but not the index ${image.digest}, whose other platforms are not on this node: ${error.message}`,
      advice: 'Berth accepts such an index; other registries may need all of its images',
      cause: error,
    })
  }
  await assertThere(rescue)
  return { digest: image.digest, sent, present, tags, otherTags, missing }
}

/** The danger: a tag that was pushed again since the node pulled it would become the old image. */
async function tagsOfOthers({ image, remote, target }: Rescue): Promise<readonly Tag[]> {
  const others: Tag[] = []
  for (const tag of target.tags) {
    const found = await remote.resolve(target.name, tag)
    if (typeof found === 'object') found.release()
    const digest = typeof found === 'object' ? found.digest : found
    if (digest !== undefined && digest !== image.digest) others.push(tag)
  }
  return others
}

function push(rescue: Rescue, digest: Digest, tags: readonly Tag[]) {
  const { image, remote, target, parallel, flags, signal } = rescue
  const write = linesFor(flags)
  const onProgress = write && createTransferProgress({ write })
  const { source } = image
  return pushImage({
    source,
    image: digest,
    remote,
    name: target.name,
    tags,
    parallel,
    onProgress,
    onUnlisted: ({ message }) => write?.(message),
    signal,
  })
}

async function putIndex({ image, remote, target: { name } }: Rescue, tags: readonly Tag[]) {
  const index = await image.source.manifest(image.digest)
  if (tags.length === 0) await remote.writer.putManifest(name, { digest: image.digest }, index)
  for (const tag of tags) await remote.writer.putManifest(name, { tag }, index)
}

async function assertThere({ image: { digest }, remote, target }: Rescue): Promise<void> {
  const found = await remote.manifest(target.name, { digest })
  found?.release()
  if (found === undefined)
    throw new RegistryError('UNAVAILABLE', {
      message: `${target.host} accepted ${formatTarget(target, digest)}, but does not return it`,
    })
}
