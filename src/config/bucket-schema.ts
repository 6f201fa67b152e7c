import { z } from 'zod'
import { file, httpUrl } from './texts.ts'
import { size } from './units.ts'

const text = z.string().min(1).optional()

/** An existing bucket of an object store. */
export const bucket = z.strictObject({
  type: z
    .enum(['s3', 'gcs'])
    .describe(
      'API of the object store: that of Amazon S3, which others have too, or that of Google Cloud Storage',
    ),
  name: z.string().min(1).describe('Name of the bucket, which must exist'),
  prefix: z
    .string()
    .regex(/^$|^[^/]+(\/[^/]+)*$/, { message: 'expected a path such as registry/one' })
    .prefault('')
    .describe("Path of the registry in the bucket: docker-registry's rootdirectory"),
  region: text.describe('Region of an S3 bucket (default: $AWS_REGION, then us-east-1)'),
  endpoint: httpUrl('https://s3.example.com', "credentials come from the provider's own sources")
    .optional()
    .describe("URL of an object store other than Amazon's or Google's"),
  pathStyle: z
    .boolean()
    .optional()
    .describe('Send the name of an S3 bucket in the path of URLs (default: if endpoint is set)'),
  profile: text.describe('Profile in the AWS configuration files (default: $AWS_PROFILE)'),
  certificateAuthorities: file
    .optional()
    .describe("File of PEM certificates to trust in addition to the system's"),
})

/** Of clients, to a bucket. */
export const redirects = z
  .strictObject({
    enabled: z
      .boolean()
      .prefault(false)
      .describe(
        'Redirect clients to the bucket for large blobs that are not on the disk, by URLs that are valid for 15 minutes; clients must reach its endpoint',
      ),
    minSize: size()
      .prefault('16MiB')
      .describe('Minimum size of a blob for which clients are redirected'),
  })
  .prefault({})
