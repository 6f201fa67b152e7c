import { z } from 'zod'

/** RFC 9457. */
export const problemDetails = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What was attempted, what happened, and what to do'),
    code: z.string().describe('As in errors of /v2/, such as NAME_UNKNOWN'),
  })
  .readonly()
  .meta({ id: 'Problem', description: 'Errors have the media type application/problem+json' })
