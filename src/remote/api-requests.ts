import { z } from 'zod'
import { type ErrorCode, RegistryError } from '../oci/errors.ts'
import { readBody } from './read-body.ts'
import type { Remote } from './remote-registry.ts'
import type { RequestContext } from './request-context.ts'

/** Bytes of an answer. */
const maxAnswer = 4 * 1024 * 1024

const problemSchema = z.looseObject({ detail: z.string(), code: z.string() })
/** Codes that a caller tells apart; any other is a request that this registry cannot fulfil. */
const known = [
  'DENIED',
  'MANIFEST_UNKNOWN',
  'NAME_UNKNOWN',
  'TOOMANYREQUESTS',
  'UNAUTHORIZED',
] as const satisfies readonly ErrorCode[]

/** The JSON API of a registry that is a Berth (src/api). */
export function createApiRequests({
  exchange,
  origin,
  scrub,
}: Pick<RequestContext, 'exchange' | 'origin' | 'scrub'>): Pick<Remote, 'askApi'> {
  return {
    askApi: async ({ method, path, repository, signal }) => {
      const answer = await exchange.request({
        method,
        kind: method === 'GET' ? 'tags' : 'write',
        path,
        repository,
        ...(method !== 'GET' && { access: 'delete' }),
        isOptional: true,
        headers: { 'content-type': 'application/json' },
        ...(method === 'POST' && { body: () => Buffer.from('{}') }),
        ...(signal && { signal }),
      })
      const body = parse(await readBody(answer, maxAnswer))
      if (answer.status === 200 && body !== undefined) return body
      const problem = problemSchema.safeParse(body).data
      if (problem === undefined)
        throw new RegistryError('UNSUPPORTED', {
          message: `${origin} answered ${answer.status} to ${path}: it is not a Berth, or an older one, or has no API (ui.enabled)`,
        })
      throw new RegistryError(known.find((code) => code === problem.code) ?? 'UNSUPPORTED', {
        status: answer.status,
        message: scrub(problem.detail),
      })
    },
  }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    return undefined
  }
}
