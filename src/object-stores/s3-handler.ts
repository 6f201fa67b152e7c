import type { AwsRequest } from '../credentials/credentials.ts'
import type { Connections } from '../outbound/outbound.ts'
import { timeoutsOf } from './attempts.ts'

/** The HTTP handler of AWS's library, with our connections, and bodies as streams. */
export function createS3Handler({ dispatcher }: Connections) {
  return {
    metadata: { handlerProtocol: 'http/1.1' },
    handle: async (request: AwsRequest, { abortSignal }: { abortSignal?: unknown } = {}) => {
      const { protocol, hostname, port, method, headers, body } = request
      const response = await dispatcher.request({
        origin: `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}`,
        path: request.path + queryOf(request),
        method: method as 'GET',
        headers: sentOf(headers),
        ...timeoutsOf(isQuick(request)),
        ...((typeof body === 'string' || body instanceof Uint8Array) && { body }),
        ...(abortSignal instanceof AbortSignal && { signal: abortSignal }),
      })
      const pairs = Object.entries(response.headers).map(([name, value]) => [
        name,
        [value].flat().join(', '),
      ])
      return {
        response: {
          statusCode: response.statusCode,
          headers: Object.fromEntries(pairs),
          body: response.body,
        },
      }
    },
    destroy: () => {},
    updateHttpClientConfig: () => {},
    httpHandlerConfigs: () => ({}),
  }
}

/** It reads one object. */
function isQuick({ method, query = {} }: AwsRequest): boolean {
  return method === 'HEAD' || (method === 'GET' && !('list-type' in query || 'uploads' in query))
}

/** The dispatcher manages the connection, and waits for nothing before a body. */
function sentOf(headers: AwsRequest['headers']): Record<string, string> {
  const isOurs = (name: string) => ['connection', 'expect'].includes(name.toLowerCase())
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !isOurs(name)))
}

function queryOf({ query = {} }: AwsRequest): string {
  const pairs = Object.entries(query).flatMap(([name, values]) =>
    [values]
      .flat()
      .map((value) => `${encodeURIComponent(name)}=${encodeURIComponent(value ?? '')}`),
  )
  return pairs.length === 0 ? '' : `?${pairs.join('&')}`
}
