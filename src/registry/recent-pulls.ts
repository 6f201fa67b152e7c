import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'

/** Names and tags that are remembered, of one upstream. */
const maxPulls = 10_000
/** Within this time a further pull is not recorded, in milliseconds. */
const resolution = 1000

/** When a cached repository was pulled, since the start. Milliseconds since the epoch. */
export interface RecentPulls {
  /** Records a pull of it with each call. */
  prepare(name: RepositoryName, reference: Reference): () => void
  ofRepository(name: RepositoryName): number | undefined
  ofTag(name: RepositoryName, tag: Tag): number | undefined
}

export function createRecentPulls(now: () => number): RecentPulls {
  const pulls = new LRUCache<string, number>(limitEntries(maxPulls))
  return {
    prepare: (name, reference) => {
      const ofTag = 'tag' in reference ? `${name}:${reference.tag}` : undefined
      let last = 0
      return () => {
        const at = now()
        if (at >= last && at < last + resolution) return
        last = at
        pulls.set(name, at)
        if (ofTag !== undefined) pulls.set(ofTag, at)
      }
    },
    ofRepository: (name) => pulls.peek(name),
    ofTag: (name, tag) => pulls.peek(`${name}:${tag}`),
  }
}
