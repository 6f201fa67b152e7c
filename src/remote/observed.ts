import type { Request, Transport } from './transport.ts'

/** One request as sent, and its result. It contains no secrets. */
export type Observed = {
  readonly method: string
  /** Without possible keys: the query of a signed URL, or a path that is a key. */
  readonly url: string
  /** Undefined when no answer came. */
  readonly status: number | undefined
}

/** The same transport, which reports each request to `observe` once its answer has begun. */
export function observed(transport: Transport, observe: (seen: Observed) => void): Transport {
  return {
    ...transport,
    send: async (request) => {
      const seen = { method: request.method, url: shown(request) }
      try {
        const answer = await transport.send(request)
        observe({ ...seen, status: answer.status })
        return answer
      } catch (error) {
        observe({ ...seen, status: undefined })
        throw error
      }
    },
  }
}

/** Query parameters of token endpoints and lists. */
const harmless = new Set(['scope', 'service', 'n', 'last', 'artifactType'])
/** Longer than any path of a token endpoint, shorter than any key, in characters. */
const maxPathLength = 100

function shown({ url }: Request): string {
  const { origin, pathname, searchParams } = url
  if (!pathname.startsWith('/v2/') && pathname.length > maxPathLength) return `${origin}/…`
  const known = [...searchParams].filter(([name]) => harmless.has(name))
  const query = known.map(([name, value]) => `${name}=${value}`).join('&')
  const rest = searchParams.size > known.length ? '…' : ''
  return `${origin}${pathname}${query || rest ? `?${[query, rest].filter(Boolean).join('&')}` : ''}`
}
