import type { SlotsOptions } from './slots.ts'

/**
 * The kind of a request. Upstreams count their quotas by kind, and a slow or throttled kind does
 * not affect the others.
 */
export type Kind = 'manifest' | 'blob' | 'stat' | 'tags' | 'referrers' | 'ping' | 'write' | 'upload'

/** The longest wait of a request for a slot, in milliseconds. */
const maxWait = 20_000
/** A fill belongs to no client, so it may wait longer than a client. */
const maxFillWait = 300_000

/**
 * More per second than a starting cluster requests, and less than a flood of names that do not
 * exist. A download or an upload holds a connection as long as the blob takes; a list is the most expensive
 * request for the upstream.
 */
export const kinds: Readonly<Record<Kind, SlotsOptions>> = {
  manifest: slots('manifests', 32, 200),
  blob: { ...slots('downloads', 48, 200), maxWait: maxFillWait },
  stat: slots('checks for blobs', 16, 200),
  tags: slots('lists of tags', 16, 50),
  referrers: slots('lists of referrers', 16, 50),
  ping: slots('pings', 4, 10),
  write: slots('writes', 16, 100),
  upload: { ...slots('uploads', 16, 100), maxWait: maxFillWait },
}

function slots(purpose: string, limit: number, perSecond: number): SlotsOptions {
  return { purpose, limit, perSecond, maxQueue: 2000, maxWait }
}
