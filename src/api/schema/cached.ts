import { z } from 'zod'
import { inUse } from './manifests.ts'
import { bytes, count, digest, list, time } from './parts.ts'

const amount = z.strictObject({ blobs: count, bytes }).readonly()

export const prefetch = z
  .strictObject({
    name: z.string(),
    digest,
    reference: z.string().describe('As it was asked for: a tag or a digest'),
    platforms: list(z.string()).describe('Empty: all'),
    startedAt: time,
    endedAt: time.optional(),
    state: z.enum(['running', 'done', 'failed', 'canceled']),
    total: amount.describe('Layers and configs of the image; grows while manifests are read'),
    stored: amount.describe('Of these, what is in the cache'),
    problem: z.string().optional().describe('Why it failed'),
  })
  .readonly()
  .meta({ id: 'Prefetch', description: 'A download of an image into the cache, in the background' })

export const pin = z
  .strictObject({
    name: z.string(),
    digest,
    pinnedAt: time,
    size: bytes.describe('Of all that is pinned with it'),
    stored: bytes.describe('Of these, what is in the cache'),
  })
  .readonly()
  .meta({ id: 'Pin', description: 'An image that is not evicted' })

export const pins = z
  .strictObject({
    pins: list(pin).describe('In repositories that the client may pull from'),
    bytes: bytes
      .optional()
      .describe('Of all pinned images, each blob once; only for clients that see everything'),
    limit: bytes.describe('Bytes that may be pinned'),
  })
  .readonly()
  .meta({ id: 'Pins' })

export const unpinned = z
  .strictObject({ name: z.string(), digest: digest.optional(), changed: z.boolean() })
  .readonly()
  .meta({ id: 'Unpinned' })

export const eviction = z
  .strictObject({
    name: z.string(),
    digest,
    evicted: z.boolean().describe('False: a preview (`?dryRun`), or it is blocked'),
    frees: bytes.describe('Of blobs that only this image has in the cache'),
    stays: bytes.describe('Of its blobs that other images in the cache, or pinned images, have'),
    inUse,
    blocked: z.string().optional().describe('Why it is not evicted; undefined: it can be'),
  })
  .readonly()
  .meta({ id: 'Eviction' })
