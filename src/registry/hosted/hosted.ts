import type { CacheMemory, Reservations } from '../../memory/memory.ts'
import { joinName, nameBelow, type RepositoryName } from '../../oci/reference.ts'
import type { HostedStore } from '../../store/store.ts'
import type { Logger } from '../../telemetry/telemetry.ts'
import { createLocks } from '../locks.ts'
import { createManifests, type ManifestMemory } from '../manifests.ts'
import type { HostedPrefix, Opened } from '../repository.ts'
import { createUploadExpiry } from '../uploads/upload-expiry.ts'
import { createUploads } from '../uploads/uploads.ts'
import { createCatalog } from './catalog.ts'
import type { HostedIndex } from './hosted-index.ts'
import { createHostedInventory } from './hosted-inventory.ts'
import type { Leases } from './leases.ts'
import { createPulls } from './pulls.ts'
import { createQuotas } from './quotas.ts'
import { createReading, type ImagesInUse } from './reading.ts'
import { createReferences } from './references.ts'
import { createWriting } from './writing.ts'

export type { HostedIndex } from './hosted-index.ts'
export { createLeases, type Leases } from './leases.ts'
export type { ImagesInUse } from './reading.ts'

type HostedOptions = {
  readonly prefixes: readonly HostedPrefix[]
  readonly store: HostedStore
  readonly index: HostedIndex | undefined
  readonly leases: Leases
  readonly inUse: ImagesInUse
  /** Nothing can be pushed or deleted. */
  readonly readOnly: boolean
  /** How long an upload session lasts after its last write, in milliseconds. */
  readonly uploadExpiry: number
  /** Other processes write as well: the index does not know all that is there. */
  readonly isShared?: boolean
  /** Whether a name leads to a hosted repository, and not to an upstream. */
  readonly isHosted: (name: RepositoryName) => boolean
  readonly memory: ManifestMemory
  readonly caches: CacheMemory
  readonly inFlight: Reservations
  readonly log: Logger
}

/**
 * Repositories whose content is on our own disk, such as an adopted Distribution volume. Names are
 * those on disk, prefix included.
 */
export function createHosted({ prefixes, store, index, leases, ...options }: HostedOptions) {
  const { readOnly, isHosted, isShared = false, log } = options
  const { links } = store
  const now = Date.now
  const manifests = createManifests({ ...options, ...store, scope: 'hosted' })
  const whole = isShared ? undefined : index
  const catalog = createCatalog({ links, index: whole })
  const quotas = createQuotas({ prefixes, index, isShared })
  const uploads = createUploads({ store: store.uploads, quotas, now })
  const expiry = readOnly
    ? undefined
    : createUploadExpiry({
        problem: store.problem,
        uploads,
        expiry: options.uploadExpiry,
        now,
        log,
      })
  const references = createReferences({ links, manifests, index: whole })
  const onPull = createPulls(index, now)
  const { reading = store } = store
  const readManifests =
    reading === store ? manifests : createManifests({ ...options, ...reading, scope: 'hosted' })
  const read = createReading({
    ...options,
    ...{ store: reading, index, manifests: readManifests, leases, references, onPull },
  })
  const writing = createWriting({
    store,
    inUse: options.inUse,
    isShared,
    index,
    manifests,
    leases,
    quotas,
    locks: createLocks(),
    now,
    uploads,
    references,
    knownReferences: createReferences({ links, manifests, index }),
    catalog,
    isHosted,
    acceptsSparse: (name) => prefixes.some((one) => one.sparse && nameBelow(one.prefix, name)),
  })

  const open =
    (prefix: string) =>
    (below: RepositoryName): Opened => {
      const name = joinName(prefix, below)
      const repository = read(name)
      return readOnly
        ? { repository, readOnly: 'storage.hosted.readOnly is set' }
        : { repository, writable: writing.open(name) }
    }

  /** Sorted. */
  const names = async () => (await catalog.list()).filter(isHosted)

  return {
    open,
    removals: writing.removals,
    catalog: names,
    inventory: createHostedInventory({ index, links, caches: options.caches, catalog: names }),
    close: async () => {
      await expiry?.close()
    },
  }
}
