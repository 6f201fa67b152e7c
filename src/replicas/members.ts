import type { LookupAddress } from 'node:dns'
import { isIP, isIPv6 } from 'node:net'
import type { Logger } from '../telemetry/telemetry.ts'
import { rank } from './rendezvous.ts'

/** Between two lookups, in milliseconds; CoreDNS keeps its answers for as long. */
const lookupInterval = 5000
/** How long the last addresses of a name without addresses count, in milliseconds: all replicas may be unready for a moment. */
const maxAbsence = 60_000
/** How long a replica that failed is left out, in milliseconds; twice as long if it fails again soon. */
const firstPause = 5000
export const maxPause = 40_000

/** Host and port. */
export type Endpoint = { readonly host: string; readonly port: number }

/** The replicas of this registry, as `address:port`. */
export interface Members {
  /**
   * The replicas that rank before this one for a key, the owner first. None: this one is the owner, or all
   * that rank before it are left out.
   */
  before(key: string): readonly string[]
  /** All but this one, the owner first, without those that are left out. */
  others(key: string): readonly string[]
  /** It is left out for a moment. */
  failed(member: string): void
  /** It has been started: its failures before that count no more. */
  started(member: string): void
  /** This one. */
  readonly own: string
  /** All that are known, with this one, and with those that are left out. */
  all(): readonly string[]
  /** Resolves when the names were looked up for the first time. */
  readonly lookedUp: Promise<void>
  close(): void
}

type MembersOptions = {
  /** This replica, as the others see it. */
  readonly self: Endpoint
  /** Names with an address for each replica, such as that of a headless Service. */
  readonly endpoints: readonly Endpoint[]
  readonly lookup: (host: string) => Promise<readonly LookupAddress[]>
  /** Milliseconds of a clock that is never set. */
  readonly uptime: () => number
  readonly log: Logger
}

/**
 * The names are resolved again and again, so that no rights at the API server are needed. While a name cannot be
 * resolved, its last addresses count; if it does not exist, for a minute.
 */
export function createMembers({ self, endpoints, lookup, uptime, log }: MembersOptions): Members {
  const own = formatEndpoint(self)
  const found = new Map<Endpoint, readonly string[]>()
  const answered = new Map<Endpoint, number>()
  const pauses = new Map<string, { readonly time: number; readonly until: number }>()

  const resolve = async (endpoint: Endpoint): Promise<void> => {
    try {
      const addresses = await lookup(endpoint.host)
      // A pod with addresses of both families is one replica.
      const alike = addresses.filter(({ family }) => family === isIP(self.host))
      const members = (alike.length > 0 ? alike : addresses).map(({ address }) =>
        formatEndpoint({ ...endpoint, host: address }),
      )
      found.set(endpoint, members)
      answered.set(endpoint, uptime())
    } catch (error) {
      const absence = uptime() - (answered.get(endpoint) ?? 0)
      if (!isUnknownName(error))
        log.warn({ host: endpoint.host, err: error }, 'cannot look up the other replicas')
      else if (absence > maxAbsence) found.set(endpoint, [])
    }
  }

  const isPaused = (member: string) => (pauses.get(member)?.until ?? 0) > uptime()
  const all = () => [...new Set([own, ...[...found.values()].flat()])]

  let isLookingUp = false
  const refresh = async (): Promise<void> => {
    if (isLookingUp) return
    isLookingUp = true
    const before = all().toSorted().join()
    await Promise.all(endpoints.map(resolve))
    isLookingUp = false
    for (const [member, { until }] of pauses)
      if (until + maxPause <= uptime()) pauses.delete(member)
    if (all().toSorted().join() !== before) log.info({ replicas: all() }, 'the replicas changed')
  }
  const lookedUp = refresh()
  const timer = setInterval(() => void refresh(), lookupInterval).unref()

  const usable = (key: string) =>
    rank(
      key,
      all().filter((member) => !isPaused(member)),
    )

  return {
    own,
    before: (key) => {
      const ranked = usable(key)
      return ranked.slice(0, ranked.indexOf(own))
    },
    others: (key) => usable(key).filter((member) => member !== own),
    failed: (member) => {
      // What else fails at the same time says nothing new.
      if (isPaused(member)) return
      const last = pauses.get(member)
      const time = last === undefined ? firstPause : Math.min(2 * last.time, maxPause)
      pauses.set(member, { time, until: uptime() + time })
    },
    started: (member) => {
      if (isPaused(member))
        log.info({ replica: member }, 'a replica that failed was started again; it is asked again')
      pauses.delete(member)
    },
    all,
    lookedUp,
    close: () => clearInterval(timer),
  }
}

function formatEndpoint({ host, port }: Endpoint): string {
  // An address of IPv6 may be written in several ways.
  return `${isIPv6(host) ? new URL(`http://[${host}]`).hostname : host}:${port}`
}

function isUnknownName(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOTFOUND'
}
