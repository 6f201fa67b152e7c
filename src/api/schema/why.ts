import { z } from 'zod'
import { digest, list } from './parts.ts'

const step = z
  .strictObject({
    step: z.enum([
      'name',
      'rule',
      'upstream',
      'credential',
      'digest',
      'content',
      'lifetime',
      'runs',
    ]),
    state: z
      .enum(['ok', 'warning', 'problem'])
      .describe('warning: pulls work, but something needs attention'),
    message: z.string(),
  })
  .readonly()
  .meta({ id: 'WhyStep' })

export const why = z
  .strictObject({
    image: z.string().describe('As it was asked for'),
    name: z.string().optional().describe('Of the repository; undefined: nothing serves the name'),
    tag: z.string().optional(),
    digest: digest.optional(),
    servedBy: z
      .enum(['hosted', 'cache', 'stale', 'upstream', 'nothing'])
      .describe('What answers the next pull; nothing: it fails'),
    steps: list(step).describe('On the way from the name to where the image runs'),
    conclusion: z.string().describe('What happens to the next pull, and what to do'),
    nodes: list(z.string()).describe('That run it; empty for those who may not see workloads'),
  })
  .readonly()
  .meta({ id: 'Why', description: 'How an image is served' })
