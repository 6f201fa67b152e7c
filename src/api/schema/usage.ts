import { z } from 'zod'
import { bytes, count, digest, kind, list, problem, time } from './parts.ts'

const unique = bytes.describe('Each stored blob and manifest once')
const own = bytes.describe('Of these, what nothing else has: what a removal or an eviction frees')

const common = {
  at: time.describe('When it was counted'),
  partial: z
    .boolean()
    .describe(
      'Whether only repositories count that the client may pull from: a removal may free less',
    ),
  unique,
  own,
  problem: problem.optional(),
}

const part = z
  .strictObject({
    name: z.string().describe('A repository; or a prefix, which ends with a slash'),
    repositories: count,
    unique,
    own,
  })
  .readonly()
  .meta({ id: 'UsagePart' })

const kindUsage = z
  .strictObject({
    ...common,
    kind,
    repositories: count,
    parts: list(part).describe(
      'What is directly below the prefix; what frees the most comes first',
    ),
  })
  .readonly()
  .meta({ id: 'KindUsage' })

export const usage = z
  .strictObject({
    prefix: z.string(),
    kinds: list(kindUsage).describe('Hosted repositories are on another volume than cached ones'),
    trash: bytes
      .optional()
      .describe('Removed, and kept for a while; of all, only for clients that see everything'),
    waiting: bytes
      .optional()
      .describe('Hosted, but in no image: removed by the next collections; as above'),
  })
  .readonly()
  .meta({ id: 'Usage', description: 'Where the bytes are' })

const tagged = z
  .strictObject({
    digest,
    tags: list(z.string()),
    unique: unique.describe('Of the manifest, of what it references, and of untagged referrers'),
    own,
  })
  .readonly()
  .meta({ id: 'TaggedUsagePart' })

export const taggedUsage = z
  .strictObject({
    ...common,
    name: z.string(),
    kind,
    tagged: list(tagged).describe('What frees the most comes first'),
    untagged: z.strictObject({ unique, own }).readonly().optional().describe('In no tag'),
    total: count.describe('Tagged manifests'),
    next: count.optional().describe('`offset` of the next page; undefined on the last page'),
  })
  .readonly()
  .meta({ id: 'TaggedUsage', description: 'Where the bytes of a repository are' })
