import { z } from 'zod'
import { bytes, count, kind, list, problem, time } from './parts.ts'

const repository = z
  .strictObject({
    name: z.string(),
    kind,
    upstream: z.string().optional().describe('Of a cached repository: a name in the overview'),
    tags: count,
    manifests: count,
    size: bytes
      .optional()
      .describe('Of all its stored blobs and manifests, each once; undefined: not known now'),
    ownSize: bytes
      .optional()
      .describe('Of those that no other repository has: what its removal frees; hosted only'),
    pushedAt: time.optional().describe('Hosted: when a tag was set, or an image pushed, last'),
    checkedAt: time.optional().describe('Cached: when a tag was compared with the upstream last'),
    pulledAt: time.optional().describe('Last pull; cached: since Berth started'),
  })
  .readonly()
  .meta({ id: 'Repository' })

export const repositories = z
  .strictObject({
    repositories: list(repository),
    total: count.describe('Repositories that match, of those that the client may pull from'),
    next: z.string().optional().describe('`last` of the request for the next page'),
    problem: problem.optional(),
  })
  .readonly()
  .meta({ id: 'Repositories' })
