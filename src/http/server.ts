import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { RegistryError } from '../oci/errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createAccessLog } from './access-log.ts'
import { commonHeaders, sendError } from './replies.ts'

type ServerOptions = {
  readonly answer: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>
  readonly telemetry: Telemetry
}

/**
 * fastify, rid of what breaks a registry: it would refuse bodies of the media types that registries
 * have, answer errors in a shape of its own, and cut off long digests. Every path goes to our own
 * table, which sees the target as it was sent.
 */
export function createServer({ answer, telemetry }: ServerOptions): FastifyInstance {
  const watch = createAccessLog(telemetry)
  const app = fastify({
    logger: false,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 4096 },
    frameworkErrors: (error, request, reply) => {
      prepare(request, reply)
      sendError(reply, error)
    },
  })

  const prepare = (request: FastifyRequest, reply: FastifyReply): void => {
    request.told = { route: 'none', bytes: 0 }
    watch(request, reply)
    reply.headers(commonHeaders)
  }

  app.decorateRequest('told')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _body, done) => done(null))
  app.addHook('onRequest', (request, reply, done) => {
    prepare(request, reply)
    done(
      hasOneHost(request)
        ? undefined
        : new RegistryError('NAME_INVALID', { message: 'a request has one Host' }),
    )
  })
  app.setErrorHandler((error, request, reply) => {
    request.told.error = error
    sendError(reply, error)
  })
  app.setNotFoundHandler(answer)
  app.all('/*', answer)
  return app
}

/**
 * Two of them are two opinions about whom the request is for, one of a proxy and one of ours. None
 * is right before HTTP/1.1 only (RFC 9112, section 3.2).
 */
function hasOneHost({ raw: { rawHeaders, httpVersion } }: FastifyRequest): boolean {
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.toLowerCase() === 'host') hosts += 1
  return hosts === 1 || (hosts === 0 && httpVersion === '1.0')
}
