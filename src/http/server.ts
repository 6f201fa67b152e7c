import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Reservations } from '../memory/memory.ts'
import { RegistryError } from '../oci/errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createAccessLog } from './access-log.ts'
import { commonHeaders, sendError } from './replies.ts'

/** In bytes: what is shorter is within what a request takes anyway. */
const minReservedPayload = 16 * 1024

type ServerOptions = {
  readonly answer: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>
  /** What answers that wait for their clients take their memory from. */
  readonly memory: Reservations
  readonly telemetry: Telemetry
}

/**
 * fastify, rid of what breaks a registry: it would refuse bodies of the media types that registries
 * have, answer errors in a shape of its own, and cut off long digests. Every path goes to our own
 * table, which sees the target as it was sent.
 */
export function createServer({ answer, memory, telemetry }: ServerOptions): FastifyInstance {
  const logRequest = createAccessLog(telemetry)
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
    request.record = { route: 'none', bytes: 0 }
    logRequest(request, reply)
    reply.headers(commonHeaders)
  }

  app.decorateRequest('record')
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
  app.addHook('onSend', (_request, reply, payload, done) => {
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
    message: 'too many long answers are being sent at once; try again',
    retryAfter: 1,
  })
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
