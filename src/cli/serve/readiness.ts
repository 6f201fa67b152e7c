import type { TokenVerifier } from '../../auth/auth.ts'
import type { Readiness } from '../../http/http.ts'
import type { InUse } from '../../in-use/in-use.ts'
import type { Index } from '../../index/index.ts'
import type { FollowedFiles } from '../../input/input.ts'
import type { UpstreamOptions } from '../../registry/registry.ts'
import type { SharedCache } from '../../shared-cache/shared-cache.ts'
import type { BlobCache } from '../../store/store.ts'

type Options = {
  readonly stopping: boolean
  /** Whether the registry's own ports are open: the admin address answers earlier. */
  readonly isListening: boolean
  readonly cache: BlobCache
  readonly sharedCache: SharedCache | undefined
  readonly hosted: { problem(): string | undefined; readonly index: Index }
  readonly upstreams: readonly UpstreamOptions[]
  readonly followed: Readonly<Record<string, FollowedFiles>>
  readonly inUse: InUse
  readonly serviceAccounts: TokenVerifier | undefined
}

/**
 * Ready while it accepts requests: without an upstream, the cache still answers; without the disk, the
 * upstreams still do.
 */
export function readinessOf(options: Options): Readiness {
  const { stopping, isListening, cache, sharedCache, hosted, upstreams, followed, inUse } = options
  const { serviceAccounts } = options
  const files = Object.entries(followed).map(([name, { problem }]) => [name, problem() ?? 'ok'])
  return {
    ready: isListening && !stopping,
    parts: {
      server: stopping ? 'shutting down' : isListening ? 'ok' : 'the registry is not listening',
      cache: cache.problem() ?? 'ok',
      ...(sharedCache && { 'bucket of the cache': sharedCache.problem() ?? 'ok' }),
      ...hostedPart(hosted.problem()),
      ...indexPart(hosted.index),
      ...inUsePart(inUse.problem()),
      ...serviceAccountsPart(serviceAccounts),
      ...Object.fromEntries(files),
      ...Object.fromEntries(
        upstreams.map(({ upstream, remote }) => [`upstream ${upstream}`, remote.problem() ?? 'ok']),
      ),
    },
  }
}

function hostedPart(problem: string | undefined) {
  return problem === undefined ? {} : { 'hosted repositories': `read-only: ${problem}` }
}

/** Its answers are missing, and pulls and pushes work. */
function indexPart(index: Index) {
  const problem = index.isWaiting() ? undefined : index.problem()
  if (problem === undefined) return {}
  return { 'index of hosted repositories': `behind, so nothing is collected: ${problem}` }
}

function inUsePart(problem: string | undefined) {
  if (problem === undefined) return {}
  return { 'images in use': `not known, so nothing is deleted: ${problem}` }
}

/** Tokens that were verified before, and users with passwords, are not affected. */
function serviceAccountsPart(verifier: TokenVerifier | undefined) {
  if (verifier === undefined) return {}
  const problem = verifier.problem()
  return {
    'service accounts': problem === undefined ? 'ok' : `cannot verify new tokens: ${problem}`,
  }
}
