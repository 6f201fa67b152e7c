import { LRUCache } from 'lru-cache'
import { limitEntries } from '../memory/memory.ts'
import type { Reference, RepositoryName, Tag } from '../oci/reference.ts'

/** Names and tags that are remembered, of one upstream. */
const maxPulls = 10_000

/** When a cached repository was pulled, since the start. Milliseconds since the epoch. */
export interface RecentPulls {
  record(name: RepositoryName, reference: Reference): void
  ofRepository(name: RepositoryName): number | undefined
  ofTag(name: RepositoryName, tag: Tag): number | undefined
}

export function createRecentPulls(now: () => number): RecentPulls {
  const pulls = new LRUCache<string, number>(limitEntries(maxPulls))
  return {
    record: (name, reference) => {
      const at = now()
      pulls.set(name, at)
      if ('tag' in reference) pulls.set(`${name}:${reference.tag}`, at)
    },
    ofRepository: (name) => pulls.peek(name),
    ofTag: (name, tag) => pulls.peek(`${name}:${tag}`),
  }
}
