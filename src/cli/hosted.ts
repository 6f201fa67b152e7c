import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { InUse } from '../in-use/in-use.ts'
import { createIndex, type Index } from '../index/index.ts'
import type { Digest } from '../oci/digest.ts'
import { createLeases } from '../registry/registry.ts'
import {
  createHostedStore,
  fingerprintOf,
  type HostedStore,
  hasContent,
  isBerths,
} from '../store/store.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { hostedRootOf } from './hosted-root.ts'
import { reportHosted } from './report-hosted.ts'

type HostedOptions = {
  readonly config: Config
  readonly inUse: InUse
  readonly telemetry: Telemetry
}

/** Opens all parts of hosted repositories, except what speaks to clients. */
export async function openHosted({ config, inUse, telemetry }: HostedOptions) {
  const { readOnly, uploadExpiry } = config.storage.hosted
  const root = hostedRootOf(config)
  const restored = createRestored()
  const store = await createHostedStore({ root, readOnly, telemetry, onRestored: restored.add })
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
    registry: { prefixes, store, index, leases, inUse, readOnly, uploadExpiry },
    root,
    store,
    index,
    leases,
    problem: store.problem,
    close: async () => {
      await report.close()
      await index.close()
      await store.close()
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
  const { blobs, links } = store
  const hasQuotas = config.hosted.some(({ quota }) => quota !== undefined)
  // If it fails, so will the first push, which says why.
  if (hasQuotas) await mkdir(root, { recursive: true }).catch(() => {})
  return createIndex({
    directory: join(root, '_berth'),
    fallbacks: [join(config.storage.directory, 'index'), join(tmpdir(), 'berth-index')],
    // A volume of another registry, or of another Berth, that is only read remains as it is.
    ownsVolume: async () =>
      !config.storage.hosted.readOnly && ((await isBerths(root)) || !(await hasContent(root))),
    source: { blobs, links, fingerprint: () => fingerprintOf(root) },
    onSubject: async (name, subject, manifest) => {
      if (store.problem() === undefined && (await isBerths(root)))
        await links.addReferrer(name, subject, manifest)
    },
    lazy: !hasQuotas && !(await hasContent(root)),
    telemetry,
  })
}
