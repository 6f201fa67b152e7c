import { LRUCache } from 'lru-cache'
import picomatch from 'picomatch'
import { bounded } from '../oci/bounded.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError, RegistryError } from '../oci/errors.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Remote, RemoteManifest } from '../remote/remote.ts'
import type { LinkStore } from '../store/store.ts'

/** Tags whose state is kept in memory; the disk knows the rest. */
const mostTags = 20_000
/** How long the answers that are no digest are believed, in milliseconds. */
const absenceLife = 5000
const refusalLife = 2000
const failureLife = 1000
/** How long a stale tag is served before the upstream is asked again, in milliseconds. */
const staleLife = 5000

/** What is known of a tag. Times in milliseconds on the monotonic clock. */
type State =
  | {
      readonly kind: 'digest'
      readonly digest: Digest
      readonly rightAt: number
      readonly warning?: string
    }
  | { readonly kind: 'absent' }
  | { readonly kind: 'refused'; readonly error: RegistryError }

/** `asked`: the upstream was asked for this answer. `fetched`: and the manifest came with it. */
export type ResolvedTag = {
  readonly digest: Digest
  readonly how: 'fresh' | 'joined' | 'asked' | 'fetched' | 'stale'
  readonly warning?: string
}

export type TagPolicy = {
  /** Milliseconds for which a tag is believed without asking. */
  readonly ttl: number
  /**
   * Milliseconds since it was last right for which it serves while the upstream cannot be asked.
   */
  readonly staleIfError: number
  /** Globs of tags that never move. */
  readonly immutable: readonly string[]
}

/** Which digest a tag means. */
export interface Tags {
  /** What the tag means if that need not be asked, by anybody. */
  fresh(name: RepositoryName, tag: Tag): Digest | undefined
  /** Undefined when the upstream says that there is no such tag. */
  resolve(name: RepositoryName, tag: Tag): Promise<ResolvedTag | undefined>
}

type TagsOptions = {
  readonly policy: TagPolicy
  readonly remote: Remote
  readonly links: LinkStore
  /** Whether the manifest of a digest is at hand. */
  readonly has: (name: RepositoryName, digest: Digest) => Promise<boolean>
  /** Takes a manifest in. Rejects when it is none. */
  readonly take: (name: RepositoryName, manifest: RemoteManifest) => Promise<void>
  readonly onStale: (name: RepositoryName, tag: Tag, error: RegistryError) => void
}

type Context = { readonly name: RepositoryName; readonly tag: Tag; fetched: boolean }

/**
 * Fresh within the time to live; then the upstream is asked, by one request for all who want the
 * tag, for the digest if it is known and for the manifest if it is not. It says the same: fresh
 * again. Another: the manifest is taken in before the tag moves, so that a tag that is served can
 * be pulled. 404: gone. A refusal: passed on. It cannot be asked: the old one serves as long as it
 * may, with a warning.
 */
export function createTags({ policy, remote, links, has, take, onStale }: TagsOptions): Tags {
  const isImmutable = policy.immutable.length === 0 ? () => false : picomatch([...policy.immutable])

  const states = new LRUCache<string, State, Context>({
    ...bounded(mostTags),
    ttl: Math.max(policy.ttl, 1),
    noDeleteOnStaleGet: true,
    ignoreFetchAbort: true,
    fetchMethod: async (_key, stale, { options, context }) => {
      const last = stale?.kind === 'digest' ? stale : await fromDisk(context)
      const state = await next(context, last)
      options.ttl = lifeOf(state, context.tag)
      return state
    },
  })

  const fromDisk = async ({
    name,
    tag,
  }: Context): Promise<(State & { kind: 'digest' }) | undefined> => {
    const link = await links.tag(name, tag).catch(() => undefined)
    return link && { kind: 'digest', digest: link.digest, rightAt: performance.now() - link.age }
  }

  const next = async (
    context: Context,
    last: (State & { kind: 'digest' }) | undefined,
  ): Promise<State> => {
    const { name, tag } = context
    if (last !== undefined && isImmutable(tag) && (await has(name, last.digest))) return last
    try {
      const answer =
        last === undefined ? await remote.manifest(name, { tag }) : await remote.resolve(name, tag)
      if (answer === undefined) {
        await links.removeTag(name, tag).catch(() => {})
        return { kind: 'absent' }
      }
      const digest = await takeIn(context, answer, last?.digest)
      await links.setTag(name, tag, digest).catch(() => {})
      return { kind: 'digest', digest, rightAt: performance.now() }
    } catch (error) {
      return withoutUpstream(context, last, error)
    }
  }

  const takeIn = async (
    context: Context,
    answer: Digest | RemoteManifest,
    known: Digest | undefined,
  ): Promise<Digest> => {
    const { name } = context
    if (typeof answer !== 'string') {
      await take(name, answer)
      context.fetched = true
      return answer.digest
    }
    if (answer === known || (await has(name, answer))) return answer
    const manifest = await remote.manifest(name, { digest: answer })
    if (manifest === undefined)
      throw new RegistryError('UNAVAILABLE', {
        message: `${remote.origin} has the tag but not its manifest`,
        status: 502,
      })
    await take(name, manifest)
    context.fetched = true
    return answer
  }

  const withoutUpstream = (
    { name, tag }: Context,
    last: (State & { kind: 'digest' }) | undefined,
    error: unknown,
  ): State => {
    if (!isRegistryError(error)) throw error
    const age = last === undefined ? Number.POSITIVE_INFINITY : performance.now() - last.rightAt
    if (last === undefined || error.code === 'DENIED' || age > policy.staleIfError)
      return { kind: 'refused', error }
    onStale(name, tag, error)
    const { digest, rightAt } = last
    return {
      kind: 'digest',
      digest,
      rightAt,
      warning: `this tag was last checked ${Math.round(age / 1000)} s ago: ${error.message}`,
    }
  }

  const lifeOf = (state: State, tag: Tag): number => {
    if (state.kind === 'absent') return absenceLife
    if (state.kind === 'refused') return state.error.code === 'DENIED' ? refusalLife : failureLife
    if (state.warning !== undefined) return Math.min(staleLife, Math.max(policy.ttl, 1))
    return isImmutable(tag) ? Number.MAX_SAFE_INTEGER : Math.max(policy.ttl, 1)
  }

  const keyOf = (name: RepositoryName, tag: Tag) => `${name}:${tag}`

  return {
    fresh: (name, tag) => {
      const state = states.get(keyOf(name, tag))
      return state?.kind === 'digest' && state.warning === undefined ? state.digest : undefined
    },
    resolve: async (name, tag) => {
      const key = keyOf(name, tag)
      const fresh = states.get(key)
      const context: Context = { name, tag, fetched: false }
      const status: LRUCache.Status<string, State, Context> = {}
      const state = fresh ?? (await states.fetch(key, { context, status }))
      if (state === undefined || state.kind === 'absent') return undefined
      if (state.kind === 'refused') throw state.error
      const { digest, warning } = state
      if (warning !== undefined) return { digest, warning, how: 'stale' }
      if (fresh !== undefined) return { digest, how: 'fresh' }
      if (status.fetch === 'inflight') return { digest, how: 'joined' }
      return { digest, how: context.fetched ? 'fetched' : 'asked' }
    },
  }
}
