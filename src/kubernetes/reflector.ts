import { z } from 'zod'
import { imageIdsIn } from './image-ids-in.ts'
import { imagesIn } from './images-in.ts'
import { imagesToPull } from './images-to-pull.ts'
import { createObjectReflector, type ListedObject } from './object-reflector.ts'

/** An object that names an image. */
type ImageUse = {
  /** The reference as the object has it. */
  readonly image: string
  readonly kind: string
  readonly namespace: string
  readonly name: string
  /** Where a pod runs; undefined for a pod without a node, and for other kinds. */
  readonly node?: string | undefined
  /** What a pod runs of the reference, as its node reports it, such as `host/name@sha256:…`. */
  readonly imageId?: string | undefined
}

/** The images that all objects of one kind name. */
export interface Reflector {
  /** Image references as the objects have them, with repetitions. */
  images(): Iterable<string>
  /** The same, with the objects. */
  uses(): Iterable<ImageUse>
  /** Those that nodes have still to pull, with the namespaces of the objects. */
  toPull(): Iterable<Pick<ImageUse, 'image' | 'namespace'>>
  /** Increases with each change. */
  version(): number
  /** Why the images are not known at the moment; undefined: they are. */
  problem(): string | undefined
  /** Resolves after the first complete list, or when closed. */
  readonly synced: Promise<void>
  close(): Promise<void>
}

type Options = Omit<
  Parameters<typeof createObjectReflector>[0],
  'keep' | 'onChange' | 'selector'
> & {
  /** Name of the kind, such as `Pod`: objects in lists do not have it. */
  readonly kind: string
}

const spec = z.object({ spec: z.object({ nodeName: z.string().optional() }).optional() })

/** The images of one kind of objects, in all namespaces. Only names and image references are kept. */
export function createReflector({ kind, ...options }: Options): Reflector {
  const { values, ...objects } = createObjectReflector({ ...options, keep })
  return {
    ...objects,
    images: function* () {
      for (const { images } of values()) yield* images
    },
    uses: function* () {
      for (const { images, imageIds, toPull, ...object } of values())
        for (const image of images) {
          const imageId = imageIds?.get(image)
          yield { image, kind, ...object, ...(imageId !== undefined && { imageId }) }
        }
    },
    toPull: function* () {
      for (const { toPull = [], namespace } of values())
        for (const image of toPull) yield { image, namespace }
    },
  }
}

type Kept = Omit<ImageUse, 'image' | 'kind' | 'imageId'> & {
  readonly images: readonly string[]
  /** By the reference; undefined: the object is no pod that runs. */
  readonly imageIds?: ReadonlyMap<string, string>
  readonly toPull?: readonly string[]
}

function keep(object: ListedObject): Kept {
  const { namespace, name } = object.metadata
  const node = spec.safeParse(object).data?.spec?.nodeName
  const imageIds = imageIdsIn(object)
  const toPull = imagesToPull(object)
  return {
    namespace,
    name,
    images: imagesIn(object),
    ...(imageIds.size > 0 && { imageIds }),
    ...(toPull.length > 0 && { toPull }),
    ...(node !== undefined && { node }),
  }
}
