import type { Digest } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { HostedIndex } from './hosted-index.ts'

/** In milliseconds: pulls of the same within it are one. */
const interval = 60_000
const maxRecent = 10_000

type Pull = {
  readonly name: RepositoryName
  readonly digest: Digest
  readonly tag?: Tag
}

/** Tells the index what is pulled, and not more often than it needs to know. `now`: milliseconds since the epoch. */
export function createPulls(index: HostedIndex | undefined, now: () => number) {
  const recent = new Map<string, number>()
  return (pull: Pull): void => {
    if (index === undefined) return
    const key = `${pull.name}@${pull.digest}:${pull.tag ?? ''}`
    const at = now()
    if (at - (recent.get(key) ?? Number.NEGATIVE_INFINITY) < interval) return
    if (recent.size >= maxRecent) recent.clear()
    recent.set(key, at)
    index.apply([{ kind: 'pulled', ...pull, at }])
  }
}
