import { z } from 'zod'
import type { BucketSettings } from '../store/store.ts'

const day = 24 * 3600
const seconds = z.coerce.number().optional()
const schema = z.looseObject({
  location: z.string().optional(),
  versioning: z.looseObject({ enabled: z.boolean().default(false) }).optional(),
  softDeletePolicy: z.looseObject({ retentionDurationSeconds: seconds }).optional(),
  retentionPolicy: z.looseObject({ retentionPeriod: seconds }).optional(),
  lifecycle: z
    .looseObject({
      rule: z
        .array(
          z.looseObject({
            action: z.looseObject({ type: z.string() }),
            condition: z.object({
              isLive: z.boolean().optional(),
              matchesPrefix: z.array(z.string()).default(['']),
              matchesSuffix: z.array(z.string()).optional(),
              numNewerVersions: z.number().optional(),
              daysSinceNoncurrentTime: z.number().optional(),
              noncurrentTimeBefore: z.string().optional(),
            }),
          }),
        )
        .default([]),
    })
    .optional(),
})

export const settingsFields = Object.keys(schema.shape).join()

/** What Google says about a bucket, as JSON. */
export function settingsIn(json: Buffer): BucketSettings {
  const { location, versioning, softDeletePolicy, retentionPolicy, lifecycle } = schema.parse(
    JSON.parse(json.toString()),
  )
  const daysOf = (duration: number | undefined) =>
    duration === undefined || duration === 0 ? undefined : duration / day
  return {
    isVersioned: versioning?.enabled ?? false,
    location,
    softDeleteDays: daysOf(softDeletePolicy?.retentionDurationSeconds),
    retentionDays: daysOf(retentionPolicy?.retentionPeriod),
    endsUploads: true,
    rules: (lifecycle?.rule ?? []).flatMap(({ action, condition }) => {
      const { isLive, matchesPrefix, matchesSuffix, ...ofOldVersions } = condition
      const isOfOthers =
        isLive === false ||
        matchesSuffix !== undefined ||
        Object.values(ofOldVersions).some((limit) => limit !== undefined)
      return matchesPrefix.map((prefix) => ({
        prefix,
        abortsUploads: action.type === 'AbortIncompleteMultipartUpload',
        expiresObjects: action.type === 'Delete' && !isOfOthers,
      }))
    }),
  }
}
