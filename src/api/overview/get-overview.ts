import type { Identity } from '../../auth/auth.ts'
import { isRepositoryName } from '../../oci/reference.ts'
import type { CachedImages, Inventory } from '../../registry/registry.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import type { Access } from '../access.ts'
import type { Overview } from '../answers.ts'
import type { Handler } from '../call.ts'
import { describePrefetch } from '../describe-prefetch.ts'
import { timeOf } from '../times.ts'
import type { Failures } from './failures.ts'
import type { Traffic } from './traffic.ts'

/** An upstream as it is configured, and its state (remote/, credentials/). */
type Upstream = {
  readonly upstream: string
  readonly prefix: string
  readonly url: string
  readonly push: boolean
  readonly remote: { problem(): string | undefined }
  readonly credentials: {
    identity(): string
    /** Milliseconds. */
    validFor(): number | undefined
    problem(): string | undefined
  }
}

export type OverviewOptions = {
  readonly version: string
  readonly traffic: Traffic
  readonly failures: Failures
  readonly upstreams: readonly Upstream[]
  /** The state or the problem of each part, as in `/readyz`. */
  readonly readiness: () => { readonly parts: Readonly<Record<string, string>> }
  readonly cache: {
    usage(): { readonly bytes: number; readonly blobs: number; readonly limit: number }
    problem(): string | undefined
  }
  /** Of hosted repositories. */
  readonly index: {
    isWaiting(): boolean
    problem(): string | undefined
    totals(): Promise<{
      readonly bytes: number
      readonly blobs: number
      readonly manifests: number
      readonly tags: number
      readonly repositories: number
    }>
  }
  readonly telemetry: Pick<Telemetry, 'metrics'>
}

type Options = OverviewOptions & {
  readonly access: Access
  readonly inventory: Inventory
  readonly cachedImages: CachedImages
}

export function createGetOverview(options: Options): Handler<'overview'> {
  const { version, traffic, failures, access, inventory, cachedImages, readiness } = options

  return async ({ identity }) => {
    const isVisible = (name: string | undefined): boolean =>
      name === undefined
        ? access.seesAll(identity)
        : isRepositoryName(name) && access.mayPull(identity, name)
    const everything = access.seesAll(identity)
      ? {
          parts: Object.entries(readiness().parts).map(([part, state]) => ({ part, state })),
          traffic: await traffic.read(),
          disk: await describeDisk(options),
        }
      : {}
    return {
      body: {
        at: new Date().toISOString(),
        version,
        ...everything,
        upstreams: await describeUpstreams(options, identity),
        downloads: inventory
          .downloads()
          .filter(({ name }) => isVisible(name))
          .map(({ startedAt, ...rest }) => ({ ...rest, startedAt: timeOf(startedAt) ?? '' })),
        prefetches: cachedImages
          .prefetches()
          .filter(({ name }) => isVisible(name))
          .map(describePrefetch),
        failures: failures.list().filter(({ name }) => isVisible(name)),
      },
    }
  }
}

async function describeDisk({
  cache,
  index,
  cachedImages,
}: Options): Promise<NonNullable<Overview['disk']>> {
  const problem = index.isWaiting() ? undefined : index.problem()
  const totals =
    index.problem() === undefined ? await index.totals().catch(() => undefined) : undefined
  const { bytes: pinned, limit: pinLimit } = cachedImages.pins()
  return {
    cache: { ...cache.usage(), pinned, pinLimit, problem: cache.problem() },
    hosted: { ...totals, problem },
  }
}

const hiddenProblem = 'requests to it fail; users with access to all repositories can see why'

/** Those from which the client has something, or may have everything. */
async function describeUpstreams(
  { upstreams, access, inventory, telemetry }: Options,
  identity: Identity,
): Promise<Overview['upstreams']> {
  const seesAll = access.seesAll(identity)
  const listed = seesAll ? [] : await inventory.list({ prefix: '', search: '' })
  const known = new Set(
    listed
      .filter(({ name }) => access.mayPull(identity, name))
      .flatMap(({ upstream }) => upstream ?? []),
  )
  const breakers = (await telemetry.metrics.breakerOpen.get()).values
  const isOpen = (name: string) =>
    breakers.some(({ labels, value }) => labels.upstream === name && value === 1)
  return upstreams
    .filter(({ upstream }) => seesAll || known.has(upstream))
    .map(({ upstream, prefix, url, push, remote, credentials }) => {
      const problem = remote.problem()
      const isDown = isOpen(upstream) || credentials.problem() !== undefined
      const left = credentials.validFor()
      const details = {
        url,
        identity: credentials.identity(),
        expires: left === undefined ? undefined : timeOf(Date.now() + left),
        problem,
      }
      return {
        name: upstream,
        prefix,
        state: problem === undefined ? 'ok' : isDown ? 'down' : 'problem',
        push,
        // A problem may name a repository that the client may not see.
        ...(seesAll ? details : { problem: problem && hiddenProblem }),
      }
    })
}
