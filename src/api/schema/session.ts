import { z } from 'zod'

export const session = z
  .strictObject({
    version: z.string(),
    title: z.string(),
    pullHost: z.string().describe('host[:port] in front of repository names in pull commands'),
    identity: z
      .enum(['user', 'service-account', 'anonymous', 'auth-off', 'none'])
      .describe('auth-off: there are no users. none: nothing is answered without a login'),
    user: z.string().optional(),
    login: z
      .enum(['required', 'optional', 'off'])
      .describe('Whether Basic credentials are needed, are possible, or have no meaning'),
    may: z
      .strictObject({ pull: z.boolean(), push: z.boolean(), delete: z.boolean() })
      .readonly()
      .describe('Whether the client may do this in some repository'),
    seesAll: z
      .boolean()
      .describe(
        'Whether the client may pull from all repositories; otherwise answers have no totals',
      ),
  })
  .readonly()
  .meta({ id: 'Session' })
