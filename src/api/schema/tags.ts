import { z } from 'zod'
import { bytes, count, digest, imageKind, kind, list, problem, rights, time } from './parts.ts'

export const expiry = z
  .strictObject({
    at: time.optional().describe('From when a rule deletes it; undefined: no rule does'),
    rule: z.string().optional().describe('That deletes it, or keeps it'),
    keptBy: z
      .enum(['rule', 'in-use', 'pinned', 'leased', 'related', 'no-rule'])
      .optional()
      .describe('Why it stays, although or because no rule deletes it'),
  })
  .readonly()
  .meta({ id: 'Expiry', description: 'What retention does with a tag' })

export const running = list(z.strictObject({ digest, pods: count }).readonly()).describe(
  'What pods run that name the tag, if not all of them run what it points to; otherwise empty, as for clients that may not see workloads',
)

const tag = z
  .strictObject({
    tag: z.string(),
    digest,
    kind: imageKind.optional(),
    mediaType: z.string().optional().describe('Undefined: the manifest is not stored here'),
    artifactType: z.string().optional(),
    size: bytes
      .optional()
      .describe('Of the manifest and all that it references, of an index for all platforms'),
    platforms: list(z.string()).describe('Such as linux/arm64/v8; sorted'),
    pushedAt: time.optional().describe('Hosted: when the tag was set to its digest'),
    pushedBy: z.string().optional(),
    checkedAt: time.optional().describe('Cached: when it was compared with the upstream last'),
    pulledAt: time.optional().describe('Last pull by this tag; cached: since Berth started'),
    stored: z
      .enum(['all', 'part', 'none'])
      .describe('How much of the image is on the disk, of an index without other platforms'),
    inUse: z.boolean().describe('Whether a workload names it'),
    running,
    pinned: z.boolean(),
    expiry: expiry.optional(),
  })
  .readonly()
  .meta({ id: 'Tag' })

export const tags = z
  .strictObject({
    name: z.string(),
    kind,
    upstream: z.string().optional(),
    may: rights,
    tags: list(tag),
    total: count.describe('Tags that match the filter'),
    next: count.optional().describe('`offset` of the next page; undefined on the last page'),
    problem: problem.optional(),
  })
  .readonly()
  .meta({ id: 'Tags' })

const content = z
  .enum(['stored', 'trash', 'deleted'])
  .describe('Where the image is; deleted: it cannot be restored')

const version = z
  .strictObject({
    digest,
    at: time.describe('When the tag was set to it last'),
    current: z.boolean(),
    pushedBy: z.string().optional().describe('Who pushed the image; undefined: not known'),
    content,
    until: time
      .optional()
      .describe('Until when the trash keeps it; less if the disk is nearly full'),
  })
  .readonly()
  .meta({ id: 'TagVersion' })

export const tagHistory = z
  .strictObject({
    name: z.string(),
    tag: z.string(),
    may: rights,
    versions: list(version).describe('Newest first'),
    truncated: z.boolean().describe('There were more versions'),
  })
  .readonly()
  .meta({ id: 'TagHistory' })

export const removedTags = z
  .strictObject({
    name: z.string(),
    may: rights,
    tags: list(
      z
        .strictObject({
          tag: z.string(),
          digest,
          at: time.describe('When the tag was set to its last digest'),
          removedAt: time,
          until: time.describe(
            'Until when the trash keeps the tag; less if the disk is nearly full',
          ),
          content,
        })
        .readonly(),
    ).describe('Those that were removed last first'),
    truncated: z.boolean().describe('There are more'),
  })
  .readonly()
  .meta({ id: 'RemovedTags' })
