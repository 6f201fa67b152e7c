import type { InUse } from '../in-use/in-use.ts'
import type { Digest } from '../oci/digest.ts'
import { isRegistryError } from '../oci/errors.ts'
import { createMatcher } from '../oci/globs.ts'
import { parseImageReference } from '../oci/image-reference.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Registry, Resolved } from '../registry/registry.ts'
import type { BlobCache, BlobSource, HostedLinks, LinkSource } from '../store/store.ts'
import type { ServedBy, Why, WhyCredential, WhyDigest, WhyLifetime, WhyUpstream } from './answer.ts'
import { findContent, type StoredContent } from './stored-content.ts'
import { whereItRuns } from './where-it-runs.ts'

/** An upstream, as far as it is asked about. */
type UpstreamParts = {
  readonly prefix: string
  readonly url: string
  readonly push: boolean
  readonly tags: {
    /** Milliseconds, as `staleIfError`. */
    readonly ttl: number
    readonly staleIfError: number
    readonly immutable: readonly string[]
    readonly except?: readonly string[]
  }
  readonly links: LinkSource
  readonly remote: {
    ping(): Promise<{ readonly status: number }>
    problem(): string | undefined
  }
  readonly credentials: {
    identity(): string
    source(): string
    validFor(): number | undefined
    problem(): string | undefined
  }
}

type ImageName = {
  readonly name: RepositoryName
  readonly tag?: Tag | undefined
  readonly digest: Digest
}

export type WhyParts = {
  /** Hosts, in lower case, under which clients reach this registry. */
  readonly ownHosts: readonly string[]
  readonly resolve: Registry['resolve']
  readonly cache: Pick<BlobCache, 'read' | 'stat' | 'pins'>
  readonly upstreams: readonly UpstreamParts[]
  readonly hosted: {
    readonly blobs: Pick<BlobSource, 'read' | 'stat'>
    readonly links: Pick<HostedLinks, 'tag' | 'hasManifest' | 'tagHistory'>
    /** What retention says. Undefined while it is not known. */
    lifetime(image: ImageName): Promise<WhyLifetime | undefined>
  }
  readonly inUse: Pick<InUse, 'usesOf' | 'problem' | 'hasTag' | 'runningOf'>
  /** Whether a cluster is watched, or another one has stored a list. */
  readonly isWatched: () => boolean
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** Milliseconds for an upstream's answer. */
const maxPing = 5000

/** `onResolved` is called before anything is looked up; what it throws is the result. */
export type Explain = (image: string, onResolved?: (resolved: Resolved) => void) => Promise<Why>

/**
 * Explains how images are served, from what this process knows. Of an upstream it asks only whether it answers
 * (`GET /v2/` without a credential): it requests no manifest and no blob, so that nothing is pulled and no tag changes.
 */
export function createWhy(parts: WhyParts): Explain {
  return async (image, onResolved) => {
    const { host, name, tag, digest: requestedDigest } = parseImageReference(image)
    const requested = { tag: requestedDigest === undefined ? tag : undefined, requestedDigest }
    if (name === undefined || (requested.tag ?? requestedDigest) === undefined)
      return failed(image, 'expected NAME[:TAG] or NAME@DIGEST, with or without a host')
    const resolved = resolve(parts, host, name)
    if (typeof resolved === 'string') return failed(image, resolved)
    onResolved?.(resolved)
    const known = { image, name: resolved.name, ...requested }
    const upstream = parts.upstreams.find(({ prefix }) => prefix === resolved.prefix)
    return upstream !== undefined && !resolved.isHosted
      ? explainProxied(parts, upstream, { ...known, resolved })
      : explainHosted(parts, { ...known, resolved })
  }
}

type Asked = {
  readonly image: string
  readonly name: RepositoryName
  readonly tag: Tag | undefined
  readonly requestedDigest: Digest | undefined
  readonly resolved: Resolved
}

/** The repository as clients get it; or why they get none. */
function resolve(
  { ownHosts, resolve: find }: WhyParts,
  host: string | undefined,
  name: RepositoryName,
): Resolved | string {
  const isOwn = host === undefined || ownHosts.includes(host) || host.startsWith('localhost')
  try {
    return find(name, isOwn ? undefined : host)
  } catch (error) {
    if (isRegistryError(error)) return error.message
    throw error
  }
}

function failed(image: string, problem: string): Why {
  return { image, problem, servedBy: 'nothing' }
}

async function explainHosted(parts: WhyParts, asked: Asked): Promise<Why> {
  const { resolved, requestedDigest, ...known } = asked
  const { name, tag } = known
  const digest = await hostedDigest(parts, asked)
  const content = digest && (await findContent(parts.hosted.blobs, digest.digest))
  const lifetime = digest && (await parts.hosted.lifetime({ name, tag, digest: digest.digest }))
  const isComplete = content !== undefined && content.missing.length === 0
  return {
    ...known,
    requestedDigest,
    rule: { kind: 'hosted', prefix: resolved.prefix },
    digest,
    content: contentIn('hosted', content),
    lifetime,
    uses: usesOf(parts, asked, digest?.digest, content),
    servedBy: isComplete ? 'hosted' : 'nothing',
  }
}

async function hostedDigest(
  { hosted: { links }, inUse }: WhyParts,
  { name, tag, requestedDigest }: Asked,
): Promise<WhyDigest | undefined> {
  if (requestedDigest !== undefined)
    return (await links.hasManifest(name, requestedDigest))
      ? { digest: requestedDigest, from: 'request' }
      : undefined
  if (tag === undefined) return undefined
  const link = await links.tag(name, tag)
  if (link !== undefined) return { digest: link.digest, from: 'tag' }
  if (!inUse.hasTag(name, tag)) return undefined
  const [last] = await links.tagHistory(name, tag)
  return last && { digest: last.digest, from: 'history' }
}

async function explainProxied(
  parts: WhyParts,
  upstream: UpstreamParts,
  asked: Asked,
): Promise<Why> {
  const { resolved, requestedDigest, ...known } = asked
  const [digest, state] = await Promise.all([
    cachedDigest(parts, upstream, asked),
    stateOf(upstream),
  ])
  // The content of another repository, with the same digest, is not served from this one.
  const isLinked =
    digest !== undefined && (await upstream.links.hasManifest(resolved.below, digest.digest))
  const content = isLinked ? await findContent(parts.cache, digest.digest) : undefined
  return {
    ...known,
    requestedDigest,
    rule: {
      kind: 'upstream',
      prefix: upstream.prefix,
      url: upstream.url,
      push: upstream.push,
      namespace: resolved.namespace,
    },
    upstream: state,
    credential: credentialOf(upstream, parts.now()),
    digest,
    content: contentIn('cache', content),
    lifetime: content &&
      digest && {
        kind: 'cache',
        pinned: parts.cache.pins.find(known.name, digest.digest) !== undefined,
      },
    uses: usesOf(parts, asked, digest?.digest, content),
    servedBy: servedBy({ digest, content, state, upstream }, parts.now()),
  }
}

async function cachedDigest(
  { now }: WhyParts,
  { links, tags }: UpstreamParts,
  { tag, requestedDigest, resolved }: Asked,
): Promise<WhyDigest | undefined> {
  if (requestedDigest !== undefined) return { digest: requestedDigest, from: 'request' }
  const link = tag && (await links.tag(resolved.below, tag))
  if (link === undefined || tag === undefined) return undefined
  const validated = now() - link.age
  const immutable = createMatcher({ include: tags.immutable, except: tags.except })(tag)
  const fresh = validated + tags.ttl
  return {
    digest: link.digest,
    from: 'tag',
    validatedAt: time(validated),
    staleUntil: time(validated + tags.staleIfError),
    ...(immutable ? { immutable } : fresh > now() && { freshUntil: time(fresh) }),
  }
}

async function stateOf({ url, remote }: UpstreamParts): Promise<WhyUpstream> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(
    () => late.reject(new Error(`no answer within ${maxPing / 1000} s`)),
    maxPing,
  )
  try {
    const { status } = await Promise.race([remote.ping(), late.promise])
    return { url, status, problem: remote.problem() }
  } catch (error) {
    return { url, unreachable: error instanceof Error ? error.message : String(error) }
  } finally {
    clearTimeout(timer)
  }
}

function credentialOf({ credentials }: UpstreamParts, now: number): WhyCredential {
  const left = credentials.validFor()
  return {
    identity: credentials.identity(),
    source: credentials.source(),
    ...(left !== undefined && { expires: time(now + left) }),
    problem: credentials.problem(),
  }
}

type Found = {
  readonly digest: WhyDigest | undefined
  readonly content: StoredContent | undefined
  readonly state: WhyUpstream
  readonly upstream: UpstreamParts
}

/** The same decisions as those of `registry/tags`, without asking. */
function servedBy({ digest, content, state, upstream }: Found, now: number): ServedBy {
  const isDown = state.unreachable !== undefined || upstream.credentials.problem() !== undefined
  const isHere = content !== undefined && content.missing.length === 0
  if (!isHere) return isDown ? 'nothing' : 'upstream'
  const isSettled = digest?.from === 'request' || digest?.immutable || digest?.freshUntil
  if (isSettled) return 'cache'
  if (!isDown) return 'cache'
  return Date.parse(digest?.staleUntil ?? '') > now ? 'stale' : 'nothing'
}

function contentIn(place: 'hosted' | 'cache', content: StoredContent | undefined) {
  if (content === undefined) return undefined
  const { digests: _, ...rest } = content
  return { place, ...rest }
}

function usesOf(
  { inUse, isWatched }: WhyParts,
  { name, tag }: Asked,
  digest: Digest | undefined,
  content: StoredContent | undefined,
) {
  const digests = content?.digests ?? (digest === undefined ? [] : [digest])
  return whereItRuns({ inUse, isWatched: isWatched(), image: { name, tag, digests } })
}

function time(at: number): string {
  return new Date(Math.min(at, maxTime)).toISOString()
}

/** Of a Date. */
const maxTime = 8.64e15
