import type { FastifyReply, FastifyRequest } from 'fastify'

/** Which web pages of other origins may use `/v2/` (Fetch standard, "CORS protocol"). */
export type CorsOptions = {
  /** Such as `https://ui.example.com`; `*`: any, which browsers then send no credentials for. */
  readonly origins: readonly string[]
  readonly methods: readonly string[]
  /** Whether browsers may send a login. */
  readonly credentials: boolean
}

export interface Cors {
  /**
   * Sets the headers that let a page of an allowed origin read the answer, also if it is an error. True: it
   * was a preflight request, which is answered; it has no credentials.
   */
  handle(request: FastifyRequest, reply: FastifyReply): boolean
  /** Whether the request is one that a page of its origin may send. */
  allows(request: FastifyRequest): boolean
}

/** Seconds for which browsers remember a preflight. */
const maxAge = 600
const allowedHeaders =
  'Authorization, Accept, Cache-Control, Content-Type, If-Match, If-None-Match, Range, X-Requested-With'
const exposedHeaders =
  'Content-Length, Content-Range, Docker-Content-Digest, Docker-Distribution-API-Version, ETag, Link, Location, OCI-Filters-Applied, OCI-Subject, Warning, WWW-Authenticate, X-Cache'

export function createCors({ origins, methods, credentials }: CorsOptions): Cors {
  const isAny = origins.includes('*')
  const isAllowed = ({ headers: { origin } }: FastifyRequest): boolean =>
    origin !== undefined && (isAny || origins.includes(origin))

  return {
    allows: (request) => isAllowed(request) && methods.includes(request.method),

    handle: (request, reply) => {
      const isPreflight =
        request.method === 'OPTIONS' &&
        request.headers['access-control-request-method'] !== undefined
      // Caches must not give one origin the answer for another.
      if (!isAny) reply.header('vary', 'Origin')
      if (!isAllowed(request)) return false
      reply.headers({
        'access-control-allow-origin': isAny ? '*' : request.headers.origin,
        ...(credentials && { 'access-control-allow-credentials': 'true' }),
      })
      if (!isPreflight) {
        reply.header('access-control-expose-headers', exposedHeaders)
        return false
      }
      reply.headers({
        'access-control-allow-methods': methods.join(', '),
        'access-control-allow-headers': allowedHeaders,
        'access-control-max-age': String(maxAge),
      })
      reply.code(204).send()
      return true
    },
  }
}
