import { setTimeout as sleep } from 'node:timers/promises'
import { createMatcher } from '../oci/globs.ts'
import { type ImageReference, parseImageReference } from '../oci/image-reference.ts'
import { formatReference, type Reference, type RepositoryName } from '../oci/reference.ts'
import type { InUse } from './images-in-use.ts'

/** An image of this registry. */
export type WarmImage = { readonly name: RepositoryName; readonly reference: Reference }

/** Downloads images that pods will need, before their nodes ask for them. */
export interface WarmUp {
  /** Images that wait for their first download, or for another attempt that is due. */
  waiting(): number
  close(): Promise<void>
}

type Log = { readonly warn: (fields: object, message: string) => void }

type Options = {
  readonly inUse: Pick<InUse, 'toPull' | 'version'>
  /** Globs of repositories, with their prefix, and of namespaces of the workloads. */
  readonly repositories: readonly string[]
  readonly namespaces: readonly string[]
  /** The image's repository here; undefined: it is none of this registry's upstreams. */
  readonly repositoryOf: (image: ImageReference) => RepositoryName | undefined
  /** Downloads what is missing, which may be nothing. Rejects with why it failed. */
  readonly fetch: (image: WarmImage, signal: AbortSignal) => Promise<void>
  /** Milliseconds between two looks at the workloads. */
  readonly pause: number
  /** Milliseconds until an image that was complete is looked at again: its tag may have moved. */
  readonly recheck: number
  /** Milliseconds after the first failure; doubled with each, up to `maxRetryDelay`. */
  readonly retryDelay?: number
  readonly log: Log
}

/** Images at the same time: half of all prefetches, so that those that people ask for do not wait. */
const width = 2
/** Images of the cluster; those beyond are left to the pulls of nodes. */
const maxImages = 5000
const defaultRetryDelay = 60_000
const maxRetryDelay = 3_600_000

type Entry = WarmImage & {
  /** As performance.now(). */
  dueAt: number
  failures: number
  problem?: string | undefined
}

export function createWarmUp(options: Options): WarmUp {
  const { inUse, fetch, pause, recheck, retryDelay = defaultRetryDelay, log } = options
  const stop = new AbortController()
  const { signal } = stop
  const wantedIn = createWanted(options)
  let entries = new Map<string, Entry>()
  let seen = -1

  /** What a workload no longer names is forgotten, with its failures. */
  const update = (): void => {
    const version = inUse.version()
    if (version === seen) return
    seen = version
    const wanted = wantedIn(inUse.toPull())
    entries = new Map(
      [...wanted].map(([key, image]) => [
        key,
        entries.get(key) ?? { ...image, dueAt: performance.now(), failures: 0 },
      ]),
    )
  }

  const due = (): readonly Entry[] => {
    const now = performance.now()
    return [...entries.values()].filter(({ dueAt }) => dueAt <= now)
  }

  const work = async (entry: Entry): Promise<void> => {
    entry.dueAt = Number.POSITIVE_INFINITY
    try {
      await fetch(entry, signal)
      entry.failures = 0
      entry.problem = undefined
      entry.dueAt = performance.now() + recheck
    } catch (err) {
      if (signal.aborted) return
      const delay = Math.min(maxRetryDelay, retryDelay * 2 ** entry.failures)
      entry.failures += 1
      entry.dueAt = performance.now() + delay
      const problem = err instanceof Error ? err.message : String(err)
      if (problem !== entry.problem)
        log.warn(
          { repository: entry.name, reference: formatReference(entry.reference), err },
          'cannot download an image that a workload names; retrying later',
        )
      entry.problem = problem
    }
  }

  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      update()
      // What was named last is needed first.
      const next = due().reduce<Entry | undefined>(
        (latest, each) => (latest === undefined || each.dueAt >= latest.dueAt ? each : latest),
        undefined,
      )
      if (next === undefined) await sleep(pause, undefined, { signal }).catch(() => {})
      else await work(next)
    }
  }
  const running = Promise.all(Array.from({ length: width }, run))

  return {
    waiting: () => due().length,
    close: async () => {
      stop.abort()
      await running
    },
  }
}

/** By `name:tag` or `name@digest`. With a digest, the tag is not asked for, as nodes do. */
function createWanted({
  repositories,
  namespaces,
  repositoryOf,
}: Pick<Options, 'repositories' | 'namespaces' | 'repositoryOf'>) {
  const isRepository = createMatcher({ include: repositories })
  const isNamespace = createMatcher({ include: namespaces })

  return (named: ReturnType<InUse['toPull']>): ReadonlyMap<string, WarmImage> => {
    const texts = new Set<string>()
    for (const { image, namespace } of named) if (isNamespace(namespace)) texts.add(image)
    const wanted = new Map<string, WarmImage>()
    for (const text of texts) {
      const image = parseImageReference(text)
      const { tag, digest } = image
      const name = repositoryOf(image)
      const reference = digest === undefined ? tag && { tag } : { digest }
      if (name === undefined || reference === undefined || !isRepository(name)) continue
      wanted.set(`${name}@${formatReference(reference)}`, { name, reference })
      if (wanted.size >= maxImages) break
    }
    return wanted
  }
}
