import assert from 'node:assert/strict'
import { gunzipSync } from 'node:zlib'
import type { z } from 'zod'
import { type OperationName, type Operations, operations } from '../../src/api/operations.ts'
import { problemDetails } from '../../src/api/schema/problem.ts'
import { basicOf } from './canaries.ts'
import { get, type Reply } from './client.ts'

type Asked = {
  /** In the places of `{name}` and others of the path. */
  readonly path?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string | number>>
  /** `user:password`. */
  readonly login?: string | undefined
  readonly headers?: Readonly<Record<string, string>>
}

type Answer<Name extends OperationName> = z.output<Operations[Name]['answer']>

/** Asks the API of a Berth. Each answer must be as its description says. */
export function createApiClient({ url }: { readonly url: string }, login?: string) {
  const send = async (name: OperationName, asked: Asked = {}): Promise<Reply> => {
    const { method, path } = operations[name]
    const texts = asked.path ?? {}
    const filled = path.replace(/\{(\w+)\}/g, (_, key: string) => texts[key] ?? key)
    const query = new URLSearchParams()
    for (const [key, value] of Object.entries(asked.query ?? {})) query.set(key, String(value))
    const user = asked.login ?? login
    const [username = '', password = ''] = user?.split(':') ?? []
    return get(`${url}${filled}${query.size > 0 ? `?${query}` : ''}`, {
      method,
      headers: {
        ...(user !== undefined && { authorization: `Basic ${basicOf(username, password)}` }),
        ...(method === 'POST' && { 'content-type': 'application/json' }),
        ...asked.headers,
      },
    })
  }

  return {
    send,
    ask: async <Name extends OperationName>(
      name: Name,
      asked: Asked = {},
    ): Promise<Answer<Name>> => {
      const reply = await send(name, asked)
      assert.equal(reply.status, 200, textOf(reply))
      assert.equal(reply.headers['content-type'], 'application/json')
      return operations[name].answer.parse(JSON.parse(textOf(reply))) as Answer<Name>
    },
    /** The answer must be a failure. */
    fail: async (name: OperationName, asked: Asked = {}) => {
      const reply = await send(name, asked)
      assert.equal(reply.headers['content-type'], 'application/problem+json', textOf(reply))
      const problem = problemDetails.parse(JSON.parse(textOf(reply)))
      assert.equal(problem.status, reply.status)
      return problem
    },
  }
}

function textOf({ headers, body }: Reply): string {
  return (headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString()
}
