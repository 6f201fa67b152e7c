import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type CollectionSettings,
  type Collector,
  createCollector,
  type Step,
} from '../../src/collection/collection.ts'
import { createIndex, type Index } from '../../src/index/index.ts'
import { createMemory } from '../../src/memory/memory.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { parseRepositoryName, type RepositoryName, type Tag } from '../../src/oci/reference.ts'
import {
  createLeases,
  createRegistry,
  type Repository,
  type WritableRepository,
} from '../../src/registry/registry.ts'
import {
  createDiskCache,
  createHostedStore,
  fingerprintOf,
  type HostedStore,
} from '../../src/store/store.ts'
import { ownDirectory } from '../support/directory.ts'
import { watchedTelemetry } from '../support/telemetry.ts'

export const minute = 60_000
export const hour = 60 * minute

/** What workloads name, as a test sets it. */
export type InUse = {
  known: boolean
  readonly digests: Set<Digest>
  /** `NAME:TAG`. */
  readonly tags: Set<string>
}

/** Hosted repositories with a collector, on a real disk. */
export type Scene = {
  readonly root: string
  readonly store: HostedStore
  /** Replaces what the index says of itself. */
  readonly says: { problem?: string; unverified?: string }
  /** Called when the collector has looked for references, before it does anything. */
  readonly barrier: { afterLook?: () => Promise<void> }
  readonly index: Index
  readonly collector: Collector
  readonly inUse: InUse
  open(name: string): Repository & WritableRepository
  /** The steps of a collection. */
  collect(request?: Parameters<Collector['collect']>[0]): Promise<readonly Step[]>
  retain(request?: Parameters<Collector['retain']>[0]): Promise<readonly Step[]>
  undo(run: Parameters<Collector['undo']>[0]): Promise<readonly Step[]>
  /** As the metrics count runs. */
  runs(): Promise<string>
  /** A new process on the same volume. `loseIndex`: it makes the index anew from the files. */
  restart(how?: { readonly loseIndex: boolean }): Promise<Scene>
  close(): Promise<void>
}

export type SceneOptions = Partial<CollectionSettings> & {
  /** Where the directory is made. */
  readonly below?: string
  readonly rules?: CollectionSettings['retention']['rules']
}

type Kept = Pick<Scene, 'inUse'> & { readonly directory: string }

export async function openScene(
  t: TestContext,
  options: SceneOptions = {},
  kept?: Kept,
): Promise<Scene> {
  // Before the directory is removed.
  let closing: Promise<void> | undefined
  let closeParts = async (): Promise<void> => {}
  const close = () => {
    closing ??= closeParts()
    return closing
  }
  t.after(close)
  const directory = kept?.directory ?? (await ownDirectory(t, options.below))
  const root = join(directory, 'hosted')
  const inUse: InUse = kept?.inUse ?? { known: true, digests: new Set(), tags: new Set() }
  const { telemetry } = watchedTelemetry('silent')
  const store = await createHostedStore({
    root,
    telemetry,
    onRestored: (digest, size) => index.apply([{ kind: 'blob', digest, size, at: Date.now() }]),
  })
  const index = createIndex({
    directory: join(root, '_berth'),
    fallbacks: [],
    ownsVolume: async () => true,
    source: { ...store, fingerprint: () => fingerprintOf(root) },
    lazy: false,
    telemetry,
  })
  await eventually(
    'the index is complete',
    () => index.problem() === undefined && index.unverified() === undefined,
  )
  const says: Scene['says'] = {}
  const barrier: Scene['barrier'] = {}
  const cache = await createDiskCache({
    root: join(directory, 'cache'),
    maxSize: 2 ** 20,
    minimumFree: 0,
    scrubRate: 0,
    scrubInterval: hour,
    telemetry,
  })
  const { rules = [], below: _, ...settings } = options
  const grace = options.grace ?? hour
  const leases = createLeases({ life: grace, now: Date.now })
  const used = {
    problem: () => (inUse.known ? undefined : 'no watch'),
    has: ({ name, tag, digest }: { name: RepositoryName; tag?: Tag | undefined; digest: Digest }) =>
      inUse.digests.has(digest) || inUse.tags.has(`${name}:${tag}`),
    hasDigest: () => false,
    hasTag: (name: RepositoryName, tag: Tag) => inUse.tags.has(`${name}:${tag}`),
    tagsOf: () => [],
    references: () => [
      ...[...inUse.digests].map((digest) => ({ digest })),
      ...[...inUse.tags].map((text) => {
        const [name = '', tag] = text.split(':')
        return { name: parseRepositoryName(name), tag: tag as Tag }
      }),
    ],
  }
  const registry = createRegistry({
    upstreams: [],
    cache,
    hosted: {
      prefixes: [{ prefix: 'local', anonymous: false }],
      store,
      index,
      leases,
      inUse: used,
      readOnly: false,
      uploadExpiry: 1000 * hour,
    },
    fillDeadline: minute,
    fillStall: minute,
    answerTime: minute,
    ...createMemory(2 ** 28),
    telemetry,
  })
  const collector = createCollector({
    root,
    store,
    index: {
      ...index,
      problem: () => says.problem ?? index.problem(),
      unverified: () => says.unverified ?? index.unverified(),
      referencedBy: async (digest) => {
        const references = await index.referencedBy(digest)
        await barrier.afterLook?.()
        return references
      },
    },
    leases,
    inUse: used,
    removals: registry.removals,
    settings: {
      interval: hour,
      grace,
      trash: 4 * hour,
      minimumFree: 0,
      retention: { interval: hour, rules, dryRun: false },
      ...settings,
    },
    telemetry,
    now: Date.now,
    uptime: Date.now,
  })
  closeParts = async () => {
    await registry.close()
    await index.close()
    await Promise.all([cache.close(), store.close()])
  }

  return {
    root,
    store,
    says,
    barrier,
    index,
    collector,
    inUse,
    open: (name) => {
      const { repository, writable } = registry.resolve(parseRepositoryName(name))
      if (writable === undefined) throw new Error(`${name} is read-only`)
      return { ...repository, ...writable }
    },
    collect: (request = {}) => stepsOf((report) => collector.collect(request, report)),
    retain: (request = {}) => stepsOf((report) => collector.retain(request, report)),
    undo: (run) => stepsOf((report) => collector.undo(run, report)),
    runs: () => telemetry.metrics.text('berth_collection_runs_total'),
    restart: async (how = { loseIndex: false }) => {
      await close()
      if (how.loseIndex) await removeIndex(root)
      return openScene(t, options, { directory, inUse })
    },
    close,
  }
}

async function removeIndex(root: string): Promise<void> {
  const directory = join(root, '_berth')
  for (const name of await readdir(directory).catch(() => []))
    if (name.startsWith('index'))
      await rm(join(directory, name), { recursive: true, maxRetries: 20 })
}

async function eventually(what: string, isSo: () => boolean): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`not within 30 seconds: ${what}`)
    await sleep(5)
  }
}

async function stepsOf(
  run: (report: (step: Step) => void) => Promise<unknown>,
): Promise<readonly Step[]> {
  const steps: Step[] = []
  await run((step) => void steps.push(step))
  return steps
}
