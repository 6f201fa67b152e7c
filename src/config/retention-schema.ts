import { z } from 'zod'
import { globs } from './texts.ts'
import { duration, size, timeout } from './units.ts'

const rule = z.strictObject({
  name: z.string().min(1).max(100).describe('Name of the rule in reports; unique'),
  action: z
    .enum(['delete', 'keep'])
    .describe(
      'delete: delete what the rule matches; keep: keep it although delete rules match it, with all tags of the image',
    ),
  repositories: globs.prefault(['**']).describe('Globs of repository names, including the prefix'),
  except: globs.prefault([]).describe('Globs of repository names that the rule excludes'),
  tags: globs
    .prefault([])
    .describe('Globs of tags; without tags and untagged, the rule matches every image'),
  untagged: z
    .boolean()
    .prefault(false)
    .describe(
      'Match images without a tag. Children of an index, subjects and referrers of an image that stays are not among them, nor images that were pulled by digest within notPulledFor (without it, 30 days)',
    ),
  olderThan: duration()
    .optional()
    .describe('Match a tag, or an image without a tag, that was pushed at least this long ago'),
  notPulledFor: duration()
    .optional()
    .describe('Match what was neither pulled nor pushed for this long'),
  newest: z
    .int()
    .min(0)
    .optional()
    .describe('Only with keep: match this many images, those whose tags were pushed last'),
})

/** Deletion of images by rules. */
export const retention = z
  .strictObject({
    dryRun: z.boolean().prefault(false).describe('Only log what the rules would delete'),
    interval: timeout().prefault('1d').describe('Time between two runs of the rules'),
    quayExpiry: z
      .boolean()
      .prefault(false)
      .describe(
        'Delete tags as the label or annotation quay.expires-after of their images says, such as 2w after the push',
      ),
    rules: z
      .array(rule)
      .prefault([])
      .describe(
        'Rules that delete and keep images; all conditions of a rule apply together, and without a delete rule nothing is deleted',
      ),
  })
  .prefault({})

/** Removal of blobs that no image references. */
export const collection = z
  .strictObject({
    enabled: z
      .boolean()
      .prefault(true)
      .describe('Remove blobs that no image of a hosted repository references'),
    interval: timeout().prefault('1h').describe('Time between two collections'),
    grace: duration()
      .prefault('24h')
      .describe(
        'Time for which Berth keeps a blob after it was pushed, asked for by a push, or referenced last; longer than the longest push',
      ),
    trash: duration()
      .prefault('7d')
      .describe('Time for which what was deleted can be restored from the trash'),
    minimumFree: size()
      .prefault('1GiB')
      .describe('Free space below which Berth empties the trash early, the oldest first'),
  })
  .prefault({})
