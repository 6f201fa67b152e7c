import type { AddressInfo } from 'node:net'
import type { Config } from '../../config/config.ts'
import type { Credentials } from '../../credentials/credentials.ts'
import type { Readiness } from '../../http/http.ts'
import type { InUse } from '../../in-use/in-use.ts'
import type { Index } from '../../index/index.ts'
import type { Registry, UpstreamOptions } from '../../registry/registry.ts'
import type { Metrics, Telemetry } from '../../telemetry/telemetry.ts'

/** What `berth status -o json` prints. Times in ISO 8601, sizes in bytes; fields may be added. */
export type Status = {
  readonly version: string
  readonly startedAt: string
  readonly ready: boolean
  /** The state or the problem of each part, as in `/readyz`. */
  readonly parts: Readonly<Record<string, string>>
  readonly listen: readonly string[]
  readonly cache: {
    readonly size: number
    readonly limit: number
    readonly blobs: number
    /** Of blobs and manifests since the start. */
    readonly requests: { readonly hits: number; readonly misses: number; readonly errors: number }
    /** Part of the requests that the cache answered; undefined before the first one. */
    readonly hitRate?: number | undefined
    readonly bytesFromUpstreams: number
  }
  /** Undefined: nothing is hosted, or it is not known yet. */
  readonly hosted?:
    | {
        readonly size: number
        readonly blobs: number
        readonly manifests: number
        readonly tags: number
        readonly repositories: number
      }
    | undefined
  readonly upstreams: readonly {
    readonly prefix: string
    readonly url: string
    readonly push: boolean
    readonly identity: string
    /** Of the credential. */
    readonly expires?: string | undefined
    /** Why it is not usable: not contacted, throttled, denied, no credential. */
    readonly problem?: string | undefined
  }[]
  readonly downloads: number
  readonly uploads: number
  /** Undefined: their tokens are not accepted. */
  readonly serviceAccounts?:
    | {
        readonly audiences: readonly string[]
        readonly method: string
        readonly problem?: string | undefined
      }
    | undefined
  readonly inUse: {
    readonly kubernetes: boolean
    readonly images: number
    readonly problem?: string | undefined
  }
}

type StatusOptions = {
  readonly config: Config
  readonly version: string
  readonly readiness: () => Readiness
  readonly addresses: readonly AddressInfo[]
  readonly registry: Registry
  readonly index: Index
  readonly upstreams: readonly (UpstreamOptions & {
    readonly url: string
    readonly credentials: Credentials
  })[]
  readonly serviceAccounts: { problem(): string | undefined } | undefined
  readonly inUse: InUse
  readonly telemetry: Telemetry
}

/** The state of this process. */
export function openStatus(options: StatusOptions): () => Promise<Status> {
  const { config, version, readiness, addresses, registry, upstreams, inUse } = options
  const { metrics } = options.telemetry
  const startedAt = new Date().toISOString()
  return async () => {
    const accepted = config.auth.serviceAccounts
    const problem = inUse.problem()
    metrics.refresh()
    return {
      version,
      startedAt,
      ...readiness(),
      listen: addresses.map(({ address, port, family }) =>
        family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`,
      ),
      cache: await cacheIn(metrics),
      hosted: await hostedIn(options.index),
      upstreams: upstreams.map(stateOf),
      downloads: registry.fillsInFlight(),
      uploads: await currentOf(metrics.uploadBodies),
      serviceAccounts: accepted && {
        audiences: accepted.audiences,
        method: accepted.method,
        problem: options.serviceAccounts?.problem(),
      },
      inUse: {
        kubernetes: config.inUse.kubernetes,
        images: inUse.references().length,
        ...(problem !== undefined && { problem }),
      },
    }
  }
}

function stateOf({ prefix, url, push, remote, credentials }: StatusOptions['upstreams'][number]) {
  const left = credentials.validFor()
  return {
    prefix,
    url,
    push,
    identity: credentials.identity(),
    ...(left !== undefined && { expires: new Date(Date.now() + left).toISOString() }),
    problem: remote.problem(),
  }
}

async function cacheIn(metrics: Metrics): Promise<Status['cache']> {
  const { values } = await metrics.cacheRequests.get()
  const count = (...results: readonly string[]) =>
    values
      .filter(({ labels }) => labels.kind !== 'tag' && results.includes(String(labels.result)))
      .reduce((sum, { value }) => sum + value, 0)
  const hits = count('hit', 'coalesced', 'stale')
  const misses = count('miss', 'bypass')
  const errors = count('error')
  const answered = hits + misses
  const fetched = (await metrics.cacheBytes.get()).values.filter(
    ({ labels }) => labels.source === 'upstream',
  )
  return {
    size: await currentOf(metrics.cacheSize),
    limit: await currentOf(metrics.cacheLimit),
    blobs: await currentOf(metrics.cacheBlobs),
    requests: { hits, misses, errors },
    ...(answered > 0 && { hitRate: hits / answered }),
    bytesFromUpstreams: fetched.reduce((sum, { value }) => sum + value, 0),
  }
}

async function hostedIn(index: Index): Promise<Status['hosted']> {
  if (index.isWaiting() || index.problem() !== undefined) return undefined
  const { bytes: size, ...counts } = await index.totals()
  return { size, ...counts }
}

async function currentOf(gauge: {
  get(): Promise<{ readonly values: readonly { readonly value: number }[] }>
}): Promise<number> {
  return (await gauge.get()).values[0]?.value ?? 0
}
