import { z } from 'zod'

/** Parts that several answers have. */

export const list = <Schema extends z.ZodType>(schema: Schema) => z.array(schema).readonly()

export const time = z.iso.datetime()
export const bytes = z.int().min(0).describe('In bytes')
export const count = z.int().min(0)
export const digest = z.string().regex(/^[a-z0-9]+:[a-f0-9]+$/)
export const texts = z.record(z.string(), z.string()).readonly()

export const problem = z
  .string()
  .describe('Why this part of the answer is missing or incomplete; the rest is valid')

export const kind = z
  .enum(['hosted', 'cached'])
  .describe('hosted: stored by Berth itself; cached: pulled from an upstream, may be evicted')

export const imageKind = z
  .enum(['image', 'index', 'chart', 'signature', 'sbom', 'attestation', 'artifact'])
  .describe('From the media types; artifact: anything else')

export const descriptor = z
  .strictObject({ digest, mediaType: z.string(), size: bytes })
  .readonly()
  .meta({ id: 'Descriptor' })

export const rights = z
  .strictObject({
    push: z.boolean(),
    delete: z.boolean(),
    cache: z.boolean().describe('Prefetch, pin and evict: of a cached repository only'),
    readOnly: z
      .string()
      .optional()
      .describe('Why nothing can be pushed or deleted, whoever asks; undefined: it can'),
  })
  .readonly()
  .meta({ id: 'Rights', description: 'What the client of this request may do' })
