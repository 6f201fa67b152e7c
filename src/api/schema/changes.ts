import { z } from 'zod'
import { inUse } from './manifests.ts'
import { bytes, digest, list } from './parts.ts'

export const removal = z
  .strictObject({
    name: z.string(),
    digest: digest.describe('The manifest, or what the tag points to'),
    removed: z.boolean().describe('False: a preview (`?dryRun`)'),
    tags: list(z.string()).describe('Tags that are removed'),
    manifests: list(digest).describe('Manifests that are removed'),
    remainingTags: list(z.string()).describe('Other tags of the image, which keep it'),
    frees: bytes
      .optional()
      .describe('Once collected: blobs that nothing else needs; undefined: not known now'),
    inUse,
    blocked: z.string().optional().describe('Why it cannot be removed; undefined: it can'),
  })
  .readonly()
  .meta({ id: 'Removal' })

export const change = z
  .strictObject({
    name: z.string(),
    digest,
    before: digest.optional().describe('What the tag pointed to before'),
    changed: z.boolean(),
  })
  .readonly()
  .meta({ id: 'Change' })
