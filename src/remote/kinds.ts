import type { SlotsOptions } from './slots.ts'

/**
 * What a question is about. Upstreams count their quotas by kind, and a kind that is slow or
 * throttled says nothing about the others.
 */
export type Kind = 'manifest' | 'blob' | 'stat' | 'tags' | 'referrers' | 'ping'

/** For how long a question waits for a slot at most, in milliseconds. */
const maxWait = 20_000
/** A fill belongs to no client, so it may wait for longer than one does. */
const maxFillWait = 300_000

/**
 * More in a second than a cluster that starts will ask, and less than a flood of names that do not
 * exist. A download costs a connection for as long as the blob takes; a list costs the upstream most.
 */
export const kinds: Readonly<Record<Kind, SlotsOptions>> = {
  manifest: slots('manifests', 32, 200),
  blob: { ...slots('downloads', 48, 200), maxWait: maxFillWait },
  stat: slots('checks for blobs', 16, 200),
  tags: slots('lists of tags', 16, 50),
  referrers: slots('lists of referrers', 16, 50),
  ping: slots('pings', 4, 10),
}

function slots(purpose: string, limit: number, perSecond: number): SlotsOptions {
  return { purpose, limit, perSecond, maxQueue: 2000, maxWait }
}
