import fastify, { type FastifyInstance } from 'fastify'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { sendError } from './replies.ts'

/**
 * The answer of `/readyz`: the state or the problem of each part. Berth stays ready when a part has a
 * problem, since cached content can still be pulled.
 */
export type Readiness = {
  readonly ready: boolean
  readonly parts: Readonly<Record<string, string>>
}

type ProbesOptions = {
  readonly readiness: () => Readiness
  readonly telemetry: Telemetry
  /** The JSON of `/status`; without it, there is no such path. */
  readonly status?: (() => object) | undefined
}

/** Liveness, readiness and metrics, on an admin address that image clients need not reach. */
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

  // Only whether the process responds: a restart repairs neither an upstream nor a disk.
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

const index = `Berth: probes and metrics. The registry listens on another port.

/livez    whether the process responds
/readyz   whether it accepts requests, and the problems of its parts
/metrics  metrics for Prometheus
`
const statusLine = '/status   the state of what it maintains\n'
