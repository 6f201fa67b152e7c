import type { Connections } from './dispatcher.ts'

type WholeRequest = {
  readonly url: URL
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | undefined
  readonly signal?: AbortSignal | undefined
  /** In bytes; a longer answer is an error. */
  readonly maxBytes: number
}

export type WholeResponse = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/**
 * Sends one request and returns its entire answer. Redirects are not followed and nothing is
 * retried: the request is meant for this origin alone.
 * @throws what undici throws; see describeFault.
 */
export async function requestWhole(
  { dispatcher }: Connections,
  { url, method = 'GET', headers = {}, body, signal, maxBytes }: WholeRequest,
): Promise<WholeResponse> {
  const answer = await dispatcher.request({
    origin: url.origin,
    path: url.pathname + url.search,
    method: method as 'GET',
    headers: { ...headers },
    ...(body !== undefined && { body }),
    ...(signal && { signal }),
  })
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of answer.body) {
    size += chunk.length
    if (size > maxBytes) throw new Error(`its answer is over limit, longer than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  const pairs = Object.entries(answer.headers).map(([name, value]) => [
    name,
    [value].flat().join(', '),
  ])
  return {
    status: answer.statusCode,
    headers: Object.fromEntries(pairs),
    body: Buffer.concat(chunks),
  }
}
