import type { ServerResponse } from 'node:http'
import type { KeyPair } from './certificates.ts'
import {
  answer,
  type FakeServer,
  type Handler,
  type Recorded,
  startFakeServer,
} from './fake-server.ts'

/** How an endpoint fails: it never responds, it closes the connection, or it responds with this. */
export type Failure =
  | 'hang'
  | 'break'
  | {
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
      /** Text as it is, anything else as JSON. */
      readonly body?: unknown
    }

/** Services of a cloud on one server: endpoints that fail on demand, and the secrets that they issue. */
export interface FakeCloud<Endpoint extends string> extends FakeServer {
  /** The endpoint fails from now on; undefined: it works again. */
  fail(endpoint: Endpoint, failure: Failure | undefined): void
  /** Number of requests to the endpoint. */
  countRequests(endpoint: Endpoint): number
  /** Keeps a text that no other server, and no log, may see. */
  keepSecret(text: string): string
  secrets(): readonly string[]
}

type FakeCloudOptions<Endpoint extends string> = {
  /** The endpoint of a request; undefined: the response is 404. */
  readonly endpointOf: (request: Recorded) => Endpoint | undefined
  readonly handle: (endpoint: Endpoint, ...exchange: Parameters<Handler>) => ReturnType<Handler>
  /** Called before each response, also of an endpoint that fails. */
  readonly prepare?: (response: ServerResponse) => void
  readonly tls?: KeyPair | undefined
}

export async function startFakeCloud<Endpoint extends string>({
  endpointOf,
  handle,
  prepare,
  tls,
}: FakeCloudOptions<Endpoint>): Promise<FakeCloud<Endpoint>> {
  const failures = new Map<Endpoint, Failure>()
  const counts = new Map<Endpoint, number>()
  const secrets: string[] = []

  const server = await startFakeServer(
    (request, response) => {
      const endpoint = endpointOf(request)
      if (endpoint === undefined) return answer(response, 404)
      counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
      prepare?.(response)
      const failure = failures.get(endpoint)
      return failure === undefined
        ? handle(endpoint, request, response)
        : answerFailure(response, failure)
    },
    { tls },
  )

  return {
    ...server,
    fail: (endpoint, failure) => {
      if (failure === undefined) failures.delete(endpoint)
      else failures.set(endpoint, failure)
    },
    countRequests: (endpoint) => counts.get(endpoint) ?? 0,
    keepSecret: (text) => {
      secrets.push(text)
      return text
    },
    secrets: () => secrets,
  }
}

function answerFailure(response: ServerResponse, failure: Failure): void {
  if (failure === 'hang') return
  if (failure === 'break') return void response.destroy()
  const { status, headers = {}, body = '' } = failure
  const [type, text] =
    typeof body === 'string' ? ['text/plain', body] : ['application/json', JSON.stringify(body)]
  answer(response, status, { 'content-type': type, ...headers }, text)
}
