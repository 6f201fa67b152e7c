import { z } from 'zod'
import {
  bytes,
  count,
  descriptor,
  digest,
  imageKind,
  kind,
  list,
  problem,
  rights,
  texts,
  time,
} from './parts.ts'
import { expiry, running } from './tags.ts'

const child = z
  .strictObject({
    ...descriptor.unwrap().shape,
    platform: z.string().optional().describe('Such as linux/arm64/v8'),
    artifactType: z.string().optional(),
    annotations: texts,
    attests: digest.optional().describe('A builder attests this platform: its manifest'),
  })
  .readonly()
  .meta({ id: 'Child' })

const step = z
  .strictObject({
    created: z.string().optional(),
    createdBy: z.string(),
    comment: z.string().optional(),
    layer: count.optional().describe('Number of the layer that it made; undefined: none'),
  })
  .readonly()
  .meta({ id: 'HistoryStep' })

const config = z
  .strictObject({
    ...descriptor.unwrap().shape,
    problem: problem.optional().describe('The config is missing, corrupt, too large or not JSON'),
    platform: z.string().optional(),
    created: z.string().optional(),
    author: z.string().optional(),
    user: z.string().optional(),
    workingDir: z.string().optional(),
    stopSignal: z.string().optional(),
    env: list(z.string()),
    entrypoint: list(z.string()),
    cmd: list(z.string()),
    exposedPorts: list(z.string()),
    volumes: list(z.string()),
    labels: texts,
    history: list(step),
    truncated: z.boolean().describe('Lists or texts were too long and are cut'),
  })
  .readonly()
  .meta({ id: 'ImageConfig' })

const layer = z
  .strictObject({
    ...descriptor.unwrap().shape,
    title: z.string().optional().describe('The name of a file that is pulled'),
    foreign: z.boolean().describe('Distributed elsewhere (`urls`)'),
    annotations: texts,
  })
  .readonly()
  .meta({ id: 'Layer' })

const chart = z
  .strictObject({
    name: z.string().optional(),
    version: z.string().optional(),
    appVersion: z.string().optional(),
    description: z.string().optional(),
    home: z.string().optional(),
    icon: z.string().optional(),
    type: z.string().optional(),
    keywords: list(z.string()),
    sources: list(z.string()),
    dependencies: list(
      z
        .strictObject({
          name: z.string(),
          version: z.string().optional(),
          repository: z.string().optional(),
        })
        .readonly(),
    ),
    problem: problem.optional(),
  })
  .readonly()
  .meta({ id: 'Chart', description: 'Chart.yaml of a Helm chart, as its config has it' })

export const manifest = z
  .strictObject({
    name: z.string(),
    ...descriptor.unwrap().shape,
    kind: imageKind,
    artifactType: z.string().optional(),
    annotations: texts,
    subject: descriptor.optional(),
    totalSize: bytes.describe('The manifest, its config and layers, each once; no children'),
    children: list(child).describe('Of an index; whether each is here is in the details'),
    config: config.optional(),
    layers: list(layer).describe('The lowest first'),
    chart: chart.optional(),
    truncated: z.boolean().describe('Lists were too long and are cut'),
  })
  .readonly()
  .meta({ id: 'Manifest', description: 'What a manifest says, which never changes' })

type Referrer = {
  readonly digest: string
  readonly mediaType: string
  readonly size: number
  readonly kind: z.infer<typeof imageKind>
  readonly artifactType?: string | undefined
  readonly tag?: string | undefined
  readonly annotations: Readonly<Record<string, string>>
  readonly referrers: readonly Referrer[]
}

const referrer: z.ZodType<Referrer> = z
  .strictObject({
    ...descriptor.unwrap().shape,
    kind: imageKind,
    artifactType: z.string().optional(),
    tag: z.string().optional().describe("Found by cosign's tag, not as a referrer"),
    annotations: texts,
    get referrers() {
      return list(referrer)
    },
  })
  .readonly()
  .meta({ id: 'Referrer' })

const blobState = z
  .strictObject({
    digest,
    stored: z.boolean().describe('Whether its bytes are on the disk'),
    sharedBy: count.describe(
      'Other images that have it, in repositories that the client may pull from; cached: other repositories',
    ),
  })
  .readonly()
  .meta({ id: 'BlobState' })

const use = z
  .strictObject({
    image: z.string().describe('The reference as it is named'),
    kind: z.string().describe('Such as Deployment or Pod; Cluster: the list of another cluster'),
    namespace: z.string(),
    name: z.string(),
    node: z.string().optional().describe('Where a pod runs'),
    running: digest.optional().describe('What a pod runs, as its node reports it'),
  })
  .readonly()
  .meta({ id: 'Use' })

export const inUse = z
  .strictObject({
    known: z.boolean(),
    problem: problem.optional().describe('Why it is not known what workloads use'),
    isInUse: z.boolean().describe('As far as it is known'),
    uses: list(use).describe(
      'Who names the digest or its tags; empty for clients that may neither delete here nor see everything',
    ),
    truncated: z.boolean(),
  })
  .readonly()
  .meta({ id: 'InUse' })

export const details = z
  .strictObject({
    name: z.string(),
    kind,
    upstream: z.string().optional(),
    digest,
    may: rights,
    tags: list(z.string()).describe('All tags of the repository that point to the digest'),
    stored: z.boolean().describe('Whether the manifest itself is on the disk'),
    parents: list(digest).describe('Indexes of the repository that contain it'),
    children: list(z.strictObject({ digest, stored: z.boolean() }).readonly()),
    blobs: list(blobState).describe('Config and layers'),
    referrers: list(referrer),
    referrersTruncated: z.boolean(),
    pushedAt: time.optional(),
    pushedBy: z.string().optional(),
    pulledAt: time.optional(),
    pinned: z.boolean(),
    expiry: expiry.optional().describe('Of an image without tags; tags have their own'),
    inUse,
    running: list(z.strictObject({ tag: z.string(), digests: running }).readonly()).describe(
      'Tags of the image under which another image runs as well',
    ),
    problems: list(problem),
  })
  .readonly()
  .meta({ id: 'Details', description: 'What Berth knows about a manifest now' })
