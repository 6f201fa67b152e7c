import { setTimeout as sleep } from 'node:timers/promises'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { InUse } from './images-in-use.ts'

/** Images that workloads name and that no registry has any more: their next pull fails. */
export interface MissingImages {
  /** `name:tag`, sorted. */
  list(): readonly string[]
  /** Checks all images once, one after the other. */
  check(): Promise<void>
}

type Log = { readonly warn: (fields: object, message: string) => void }

type Options = {
  readonly inUse: Pick<InUse, 'references'>
  /** Hosts of Berth in image references: images of other registries are not its concern. */
  readonly hosts: readonly string[]
  /** False: the repository has no such tag. Rejects when that is not known. */
  readonly exists: (name: RepositoryName, tag: Tag) => Promise<boolean>
  /** Milliseconds between two images, so that a check is no load for upstreams. */
  readonly pause: number
  readonly signal: AbortSignal
  readonly log: Log
}

/**
 * Checks tags only. A digest that was pulled is served from the cache or the hosted volume, and
 * upstreams are not asked about it.
 */
export function createMissingImages(options: Options): MissingImages {
  const { inUse, hosts, exists, pause, signal, log } = options
  let missing = new Set<string>()

  const isMissing = async (name: RepositoryName, tag: Tag): Promise<boolean> => {
    try {
      return !(await exists(name, tag))
    } catch {
      // An upstream that does not answer says nothing new.
      return missing.has(`${name}:${tag}`)
    }
  }

  return {
    list: () => [...missing].toSorted(),
    check: async () => {
      const found = new Set<string>()
      for (const { host, name, tag } of inUse.references()) {
        if (signal.aborted) return
        if (name === undefined || tag === undefined || !hosts.includes(host ?? '')) continue
        const image = `${name}:${tag}`
        if (await isMissing(name, tag)) {
          found.add(image)
          if (!missing.has(image)) log.warn({ image }, 'an image in use is gone from its registry')
        }
        await sleep(pause, undefined, { signal }).catch(() => {})
      }
      missing = found
    },
  }
}
