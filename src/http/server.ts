import type { IncomingMessage } from 'node:http'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Reservations } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import type { AccessLog } from './access-log.ts'
import { countHeaders } from './count-headers.ts'
import { noSchemas } from './no-schemas.ts'
import { commonHeaders, minReservedPayload, sendError } from './replies.ts'

type ServerOptions = {
  /** Throws, or rejects, with what becomes an error response. */
  readonly answer: (request: FastifyRequest, reply: FastifyReply) => unknown
  /** Memory for responses that wait for their clients. */
  readonly memory: Reservations
  readonly logRequest: AccessLog
}

/**
 * Configures fastify for a registry: by default it rejects bodies of the media types of registries, has
 * its own format for errors, and limits the length of parameters. All paths go to `answer`, which gets
 * the request target as the client sent it.
 */
export function createServer({ answer, memory, logRequest }: ServerOptions): FastifyInstance {
  const app = fastify({
    ...noSchemas,
    logger: false,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 4096 },
    frameworkErrors: (error, request, reply) => {
      prepare(request, reply)
      sendError(reply, error)
    },
  })

  const prepare = (request: FastifyRequest, reply: FastifyReply): void => {
    request.record = { route: 'none', bytes: 0 }
    logRequest(request.raw, reply.raw, request.record)
  }

  app.decorateRequest('record')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _body, done) => done(null))
  app.addHook('onRequest', (request, reply, done) => {
    prepare(request, reply)
    done(
      hasOneHost(request.raw)
        ? undefined
        : new RegistryError('NAME_INVALID', {
            message: 'a request must have exactly one Host header, with a host and perhaps a port',
          }),
    )
  })
  app.addHook('onSend', (_request, reply, payload, done) => {
    reply.headers(commonHeaders)
    if (!Buffer.isBuffer(payload) || payload.length < minReservedPayload) return done(null, payload)
    const release = memory.reserve(payload.length)
    if (release === undefined) return done(tooManyAnswers())
    reply.raw.once('close', release)
    done(null, payload)
  })
  app.setErrorHandler((error, request, reply) => {
    request.record.error = error
    sendError(reply, error)
  })
  app.setNotFoundHandler(answer)
  app.all('/*', answer)
  return app
}

function tooManyAnswers(): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'cannot send this response now: the memory for concurrent responses is used up',
    advice: 'retry',
    retryAfter: 1,
  })
}

/** RFC 3986, section 3.2.2; it may be empty. */
const hostGrammar = /^(?:\[[\w.:%~-]+\]|[\w.~!$&'()*+,;=%-]*)(?::\d*)?$/

/**
 * With two Host headers, or one that names no host, a proxy and this server may understand different ones. HTTP/1.0 allows
 * none (RFC 9112, section 3.2).
 */
export function hasOneHost(request: IncomingMessage): boolean {
  const hosts = countHeaders(request, 'host')
  if (hosts === 0) return request.httpVersion === '1.0'
  return hosts === 1 && hostGrammar.test(request.headers.host ?? '')
}
