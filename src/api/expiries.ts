import { LRUCache } from 'lru-cache'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Tags } from './answers.ts'
import { timeOf } from './times.ts'

type Expiry = NonNullable<Tags['tags'][number]['expiry']>

/** What retention decides about a tag, or about a manifest without one (retention/). */
type Decision = {
  readonly digest: Digest
  readonly tag?: Tag | undefined
  readonly action: 'keep' | 'delete'
  readonly kind: string
  readonly rule?: string
  readonly at?: number
}

/** Undefined: no rule says anything about any repository. */
export type Retention =
  | { decisions(name: RepositoryName): Promise<readonly Decision[]> }
  | undefined

/** What happens to the tags of a hosted repository, or to its manifests without a tag. */
export type Expiries = (
  name: RepositoryName,
) => Promise<
  ((of: { readonly tag?: Tag; readonly digest: Digest }) => Expiry | undefined) | undefined
>

/** Decisions about a whole repository are used for several pages of it. */
const life = 10_000
const maxRepositories = 20

export function createExpiries(retention: Retention, now: () => number): Expiries {
  const memory = new LRUCache<string, ReadonlyMap<string, Decision>, RepositoryName>({
    max: maxRepositories,
    ttl: life,
    ttlResolution: 0,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, _stale, { context }) => {
      // Without the index, nothing is known, and nothing is deleted.
      const decisions = await retention?.decisions(context).catch(() => undefined)
      return decisions && new Map(decisions.map((each) => [each.tag ?? each.digest, each]))
    },
  })

  return async (name) => {
    if (retention === undefined) return undefined
    const decisions = await memory.fetch(name, { context: name })
    return ({ tag, digest }) => {
      const decision = decisions?.get(tag ?? digest)
      return decision && expiryOf(decision, now())
    }
  }
}

function expiryOf({ action, kind, rule, at }: Decision, now: number): Expiry {
  if (action === 'delete') return { at: timeOf(now), rule }
  if (kind === 'not-yet') return { at: timeOf(at), rule }
  return { rule, keptBy: keptBy(kind) }
}

function keptBy(kind: string): Expiry['keptBy'] {
  switch (kind) {
    case 'rule':
    case 'in-use':
    case 'pinned':
    case 'leased':
    case 'no-rule':
      return kind
    default:
      return 'related'
  }
}
