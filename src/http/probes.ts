import fastify, { type FastifyInstance } from 'fastify'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { noSchemas } from './no-schemas.ts'
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
  /** Whether the process still does its work; without it, it is alive if it responds. */
  readonly isAlive?: (() => boolean) | undefined
  /** The JSON of `/status`; without it, there is no such path. */
  readonly status?: (() => object) | undefined
}

/** Liveness, readiness and metrics, on an admin address that image clients need not reach. */
export function createProbes({
  readiness,
  telemetry: { metrics },
  isAlive = () => true,
  status,
}: ProbesOptions): FastifyInstance {
  const app = fastify({ ...noSchemas, logger: false })
  app.setErrorHandler((error, _request, reply) => void sendError(reply, error))

  app.get('/', (_request, reply) =>
    reply.type('text/plain').send(status === undefined ? index : `${index}${statusLine}`),
  )

  // Not what a restart does not repair, such as an upstream or a disk. `/live` and `/ready` are the names
  // of Kubernetes Registry Spooler.
  for (const path of ['/livez', '/live'])
    app.get(path, (_request, reply) =>
      isAlive()
        ? reply.type('text/plain').send('ok\n')
        : reply.code(503).type('text/plain').send('the process no longer does its work\n'),
    )

  for (const path of ['/readyz', '/ready'])
    app.get(path, (_request, reply) => {
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
