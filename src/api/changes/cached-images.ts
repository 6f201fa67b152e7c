import { isDigest } from '../../oci/digest.ts'
import { RegistryError } from '../../oci/errors.ts'
import { parseTag, type Reference } from '../../oci/reference.ts'
import type { CachedImages, Inventory, PinnedImage } from '../../registry/registry.ts'
import type { Access } from '../access.ts'
import type { Call, Handlers } from '../call.ts'
import { describePrefetch } from '../describe-prefetch.ts'
import { isSet } from '../schema/requests.ts'
import { timeOf } from '../times.ts'
import { type UsesOptions, usesOf } from '../uses.ts'

type Options = UsesOptions & {
  readonly access: Access
  readonly inventory: Inventory
  readonly cachedImages: CachedImages
}

type Operation = 'prefetch' | 'prefetchState' | 'cancelPrefetch' | 'pin' | 'unpin' | 'evict'

/**
 * What people do with images in the cache. It takes the right to delete, also where the upstream takes no
 * deletions: it decides what stays for everybody else.
 */
export function createCachedImageHandlers(options: Options): Pick<Handlers, Operation | 'pins'> {
  const { access, inventory, cachedImages } = options

  const open = (call: Call<Operation>) => {
    const resolved = access.resolve(call, 'delete')
    return { resolved, name: resolved.name, images: cachedImages.of(resolved.name) }
  }

  return {
    prefetch: async (call) => {
      const { images } = open(call)
      const { platform } = call.query
      const platforms = platform === '' ? [] : platform.split(',')
      return { body: describePrefetch(await images.prefetch(referenceIn(call), platforms)) }
    },
    prefetchState: async (call) => {
      const { name, images } = open(call)
      const found = images.prefetchOf(referenceIn(call))
      if (found === undefined) throw notPrefetched(name)
      return { body: describePrefetch(found) }
    },
    cancelPrefetch: async (call) => {
      const { name, images } = open(call)
      const reference = referenceIn(call)
      const isCanceled = images.cancelPrefetch(reference)
      const found = images.prefetchOf(reference)
      if (!isCanceled || found === undefined) throw notPrefetched(name)
      return { body: describePrefetch(found) }
    },
    pin: async (call) => ({ body: describePin(await open(call).images.pin(referenceIn(call))) }),
    unpin: async (call) => {
      const { name, images } = open(call)
      const digest = await images.unpin(referenceIn(call))
      return { body: { name, digest, changed: digest !== undefined } }
    },
    evict: async (call) => {
      const { name, images, resolved } = open(call)
      const dryRun = isSet(call.query.dryRun)
      const eviction = await images.evict(referenceIn(call), { dryRun })
      const { digest } = eviction
      const tags = (await inventory.of(name).image(digest))?.tags ?? []
      const inUse = usesOf(options, {
        identity: call.identity,
        repository: resolved,
        digest,
        tags,
      })
      return { body: { name, ...eviction, inUse } }
    },
    pins: async ({ identity }) => {
      const { images, bytes, limit } = cachedImages.pins()
      return {
        body: {
          pins: images.filter(({ name }) => access.mayPull(identity, name)).map(describePin),
          bytes: access.seesAll(identity) ? bytes : undefined,
          limit,
        },
      }
    },
  }
}

function describePin({ pinnedAt, ...rest }: PinnedImage) {
  return { ...rest, pinnedAt: timeOf(pinnedAt) ?? '' }
}

function referenceIn({ texts: { reference } }: Call<Operation>): Reference {
  return isDigest(reference) ? { digest: reference } : { tag: parseTag(reference) }
}

function notPrefetched(name: string): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', {
    message: `nothing of ${name} is being prefetched`,
  })
}
