import fastify, { type FastifyInstance } from 'fastify'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { sendError } from './replies.ts'

/**
 * What `/readyz` says: one line for each part, with what troubles it. Troubled parts leave Berth
 * ready, since the cache serves.
 */
export type Readiness = {
  readonly ready: boolean
  readonly parts: Readonly<Record<string, string>>
}

type ProbesOptions = {
  readonly readiness: () => Readiness
  readonly telemetry: Telemetry
  /** What `/status` says, where there is more to say than whether it is ready. */
  readonly status?: (() => object) | undefined
}

/** Liveness, readiness and metrics, on an address of their own that users do not reach. */
export function createProbes({
  readiness,
  telemetry: { metrics },
  status,
}: ProbesOptions): FastifyInstance {
  const app = fastify({ logger: false })
  app.setErrorHandler((error, _request, reply) => void sendError(reply, error))

  app.get('/', (_request, reply) =>
    reply.type('text/plain').send(status === undefined ? index : `${index}${statusLine}`),
  )

  // Only whether the process answers: a restart mends neither an upstream nor a disk.
  app.get('/livez', (_request, reply) => reply.type('text/plain').send('ok\n'))

  app.get('/readyz', (_request, reply) => {
    const state = readiness()
    return reply.code(state.ready ? 200 : 503).send(state)
  })

  if (status !== undefined) app.get('/status', (_request, reply) => reply.send(status()))

  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.text()),
  )
  return app
}

const index = `Berth: probes and metrics. The registry itself listens elsewhere.

/livez    whether the process answers
/readyz   whether it takes requests, and what troubles its parts
/metrics  metrics for Prometheus
`
const statusLine = '/status   what it keeps up to date\n'
