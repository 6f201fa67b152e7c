import { z } from 'zod'
import { prefetch } from './cached.ts'
import { bytes, count, digest, list, problem, time } from './parts.ts'

const sample = z
  .strictObject({
    at: time.describe('End of the interval'),
    hits: count.describe('Blobs and manifests from the cache'),
    misses: count,
    errors: count,
    served: bytes.describe('Sent to clients'),
    fetched: bytes.describe('Received from upstreams'),
  })
  .readonly()
  .meta({ id: 'TrafficSample' })

const traffic = z
  .strictObject({
    since: time.describe('When this process started'),
    total: sample,
    recent: list(sample).describe('One for each minute, oldest first; at most a day'),
    interval: count.describe('Seconds'),
  })
  .readonly()
  .meta({ id: 'Traffic' })

const disk = z
  .strictObject({
    cache: z
      .strictObject({
        bytes,
        limit: bytes,
        blobs: count,
        pinned: bytes,
        pinLimit: bytes,
        problem: problem.optional(),
      })
      .readonly(),
    hosted: z
      .strictObject({
        bytes: bytes.optional(),
        blobs: count.optional(),
        manifests: count.optional(),
        tags: count.optional(),
        repositories: count.optional(),
        problem: problem.optional(),
      })
      .readonly(),
  })
  .readonly()
  .meta({ id: 'Disk' })

const upstream = z
  .strictObject({
    name: z.string(),
    prefix: z.string(),
    url: z.string().optional().describe('Only for clients that see everything'),
    identity: z
      .string()
      .optional()
      .describe('Who Berth is at the upstream; only for clients that see everything'),
    expires: time.optional().describe('Of the credential; undefined: never, or not known'),
    state: z
      .enum(['ok', 'problem', 'down'])
      .describe('down: its breaker is open, or no credential can be obtained'),
    problem: z
      .string()
      .optional()
      .describe('One sentence: what fails, why, and what to do about it'),
    push: z.boolean().describe('Whether clients may push through it'),
  })
  .readonly()
  .meta({ id: 'Upstream' })

const download = z
  .strictObject({
    name: z.string(),
    digest,
    upstream: z.string(),
    startedAt: time,
    received: bytes,
    size: bytes.optional(),
    readers: count.describe('Clients that wait for it or read it'),
  })
  .readonly()
  .meta({ id: 'Download' })

const failure = z
  .strictObject({
    at: time.describe('The last time'),
    times: count,
    name: z.string().optional(),
    upstream: z.string().optional(),
    status: count,
    code: z.string(),
    message: z.string(),
  })
  .readonly()
  .meta({ id: 'Failure', description: 'Equal failures are counted as one' })

export const overview = z
  .strictObject({
    at: time,
    version: z.string(),
    parts: list(z.strictObject({ part: z.string(), state: z.string() }).readonly())
      .optional()
      .describe('As in /readyz; only for clients that see everything'),
    traffic: traffic.optional().describe('Only for clients that see everything'),
    disk: disk.optional().describe('Only for clients that see everything'),
    upstreams: list(upstream).describe('That have a repository which the client may pull from'),
    downloads: list(download),
    prefetches: list(prefetch).describe('Those that run, and those of the last minutes'),
    failures: list(failure).describe('Newest first'),
  })
  .readonly()
  .meta({ id: 'Overview' })
