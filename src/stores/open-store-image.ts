import type { ImageSource } from '../archive/archive.ts'
import type { Digest } from '../oci/digest.ts'
import { openContainerdImage } from './containerd-image.ts'
import { findImages } from './containerd-images.ts'
import { openContainerd } from './containerd-socket.ts'
import { openDockerImage } from './docker-store.ts'
import { openPodmanImage } from './podman-store.ts'
import { isAbsent, StoreError } from './store-error.ts'
import type { OpenStoreOptions } from './store-options.ts'
import { type StoreKind, type StoreReference, storeKinds } from './store-reference.ts'
import { wholeParts } from './whole-parts.ts'

type StoreImage = {
  readonly source: ImageSource
  /** What to push of the source. */
  readonly digest: Digest
}

const openers: Readonly<
  Record<StoreKind, (name: string, options: OpenStoreOptions) => Promise<StoreImage>>
> = {
  docker: async (name, options) => onlyImage(await openDockerImage(name, options)),
  podman: async (name, options) => onlyImage(await openPodmanImage(name, options)),
  containerd: openFromContainerd,
}

/**
 * Opens an image of a store of this machine. Without a store, the first that has it.
 * @throws StoreError, whose message says where the image was looked for.
 */
export async function openStoreImage(
  { store, name }: StoreReference,
  options: OpenStoreOptions,
): Promise<StoreImage> {
  const problems: string[] = []
  for (const kind of store === undefined ? storeKinds : [store]) {
    try {
      return await openers[kind](name, options)
    } catch (error) {
      if (!isAbsent(error)) throw error
      problems.push(`${kind}: ${error.message}`)
    }
  }
  const what =
    store === undefined
      ? `${name} is neither a file nor an image of a store of this machine`
      : `found no image ${name}`
  throw new StoreError('absent', `${what}. ${problems.join('. ')}`)
}

async function onlyImage(source: ImageSource): Promise<StoreImage> {
  const [image, ...others] = source.images
  if (image !== undefined && others.length === 0) return { source, digest: image.digest }
  await source.close()
  throw new StoreError('failed', 'the store sent several images')
}

/** The name space that has all of it, or most. */
async function openFromContainerd(name: string, options: OpenStoreOptions): Promise<StoreImage> {
  const { environment, onNote, signal } = options
  const opened = await openContainerd({ environment })
  const { containerd } = opened
  try {
    const [image] = await findImages(opened, { name })
    if (image === undefined)
      throw new StoreError(
        'absent',
        `${containerd.address}: no such image in ${opened.namespaces.join(', ') || 'any name space'}`,
      )
    const found = await openContainerdImage({ containerd, image, signal })
    const { source, digest, note } = await wholeParts(found).catch(async (error) => {
      await found.source.close()
      throw error
    })
    onNote?.(
      `reading ${name} from containerd (${containerd.address}, name space ${image.namespace})`,
    )
    if (note !== undefined) onNote?.(note)
    const close = async () => {
      await source.close()
      containerd.close()
    }
    return { source: { ...source, close }, digest }
  } catch (error) {
    containerd.close()
    throw error
  }
}
