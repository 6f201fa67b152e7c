import { randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Ambient, Config } from '../../config/config.ts'
import type { InUse } from '../../in-use/in-use.ts'
import { createIndex, type Index } from '../../index/index.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Outbound } from '../../outbound/outbound.ts'
import { createLeases } from '../../registry/registry.ts'
import {
  type BlobCache,
  createBucketStore,
  createHostedStore,
  createObjectUrls,
  fingerprintOf,
  type HostedStore,
  hasContent,
  isBerths,
} from '../../store/store.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { openBucket } from './bucket.ts'
import { hostedRootOf } from './hosted-root.ts'
import { reportHosted } from './report-hosted.ts'

/** Milliseconds between two comparisons of the index with a bucket, to which other replicas write. */
const bucketVerifyInterval = 3_600_000
/** With quotas, which count what other replicas have pushed. */
const quotaVerifyInterval = 600_000

type HostedOptions = {
  readonly config: Config
  readonly ambient: Ambient
  readonly outbound: Outbound
  /** With a bucket, its blobs are read by way of this disk. */
  readonly cache: BlobCache
  readonly inUse: InUse
  readonly telemetry: Telemetry
}

/** Opens all parts of hosted repositories, except what speaks to clients. */
export async function openHosted(options: HostedOptions) {
  const { config, inUse, telemetry } = options
  const { readOnly, uploadExpiry, bucket } = config.storage.hosted
  const isShared = bucket !== undefined
  const root = hostedRootOf(config)
  const restored = createRestored()
  const { store, close } = await openStore(options, restored.add)
  const index = await openIndex({ config, root, store, telemetry })
  restored.tell(index)
  const leases = createLeases({ life: config.collection.grace, now: () => performance.now() })
  const prefixes = config.hosted.map(({ anonymous, ...hosted }) => ({
    ...hosted,
    anonymous: anonymous === 'pull',
  }))
  const report = reportHosted({
    hosted: config.hosted,
    problem: store.problem,
    bytes: index.bytes,
    telemetry,
  })
  return {
    registry: { prefixes, store, index, leases, inUse, readOnly, uploadExpiry, isShared },
    isShared,
    root,
    store,
    index,
    leases,
    problem: store.problem,
    close: async () => {
      await report.close()
      await index.close()
      await close()
    },
  }
}

type OnRestored = (digest: Digest, size: number) => void

/** On the volume, or in a bucket, which other replicas may write as well. */
async function openStore(
  { config, ambient, outbound, cache, telemetry }: HostedOptions,
  onRestored: OnRestored,
): Promise<{ readonly store: HostedStore; readonly close: () => Promise<void> }> {
  const { readOnly, bucket, redirects } = config.storage.hosted
  const directory = hostedRootOf(config)
  if (bucket === undefined) {
    const store = await createHostedStore({ root: directory, readOnly, telemetry, onRestored })
    return { store, close: store.close }
  }
  await mkdir(directory, { recursive: true })
  const objects = await openBucket(bucket, { ambient, outbound, telemetry })
  const { prefix } = bucket
  const urlOf = createObjectUrls(objects, telemetry)
  const store = await createBucketStore({
    ...{ objects, prefix, directory, cache, readOnly, telemetry, onRestored },
    ...(redirects.enabled && { redirects: { minSize: redirects.minSize, urlOf } }),
  })
  return {
    store,
    close: async () => {
      await store.close()
      await objects.close()
    },
  }
}

/** Reports blobs that came back from the trash to the index, which is created after the store. */
function createRestored() {
  let index: Index | undefined
  return {
    add: (digest: Digest, size: number): void =>
      index?.apply([{ kind: 'blob', digest, size, at: Date.now() }]),
    tell: (made: Index): void => {
      index = made
    },
  }
}

type IndexOptions = {
  readonly config: Config
  readonly root: string
  readonly store: HostedStore
  readonly telemetry: Telemetry
}

/** Without anything hosted, it costs nothing. Quotas need it before the first push. */
async function openIndex({ config, root, store, telemetry }: IndexOptions) {
  const { blobs, links, width, confirm } = store.scanning ?? {
    ...store,
    width: undefined,
    confirm: undefined,
  }
  const { readOnly, bucket } = config.storage.hosted
  const isShared = bucket !== undefined
  const hasQuotas = config.hosted.some(({ quota }) => quota !== undefined)
  // If it fails, so will the first push, which says why.
  if (hasQuotas) await mkdir(root, { recursive: true }).catch(() => {})
  return createIndex({
    directory: join(root, '_berth'),
    fallbacks: [join(config.storage.directory, 'index'), join(tmpdir(), 'berth-index')],
    // A volume of another registry, or of another Berth, that is only read remains as it is.
    ownsVolume: async () =>
      isShared || (!readOnly && ((await isBerths(root)) || !(await hasContent(root)))),
    source: {
      blobs,
      links,
      width,
      confirm,
      // What others write to a bucket leaves no trace but in a listing of all.
      fingerprint: async () => (isShared ? randomUUID() : fingerprintOf(root)),
    },
    ...(isShared && { verifyInterval: hasQuotas ? quotaVerifyInterval : bucketVerifyInterval }),
    onSubject: async (name, subject, manifest) => {
      if (store.problem() === undefined && (isShared ? !readOnly : await isBerths(root)))
        await links.addReferrer(name, subject, manifest)
    },
    lazy: !isShared && !hasQuotas && !(await hasContent(root)),
    telemetry,
  })
}
