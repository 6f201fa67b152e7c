import type { RequestListener } from 'node:http'
import type { Auth } from '../auth/auth.ts'
import type { Registry } from '../registry/registry.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { loadKernel } from './kernel.ts'
import { createProbes, type Readiness } from './probes.ts'
import { createRoutes } from './routes.ts'
import { createSend } from './send.ts'
import { createServer } from './server.ts'

export { type Listeners, listen } from './listeners.ts'
export type { Readiness } from './probes.ts'

type ApiOptions = {
  readonly registry: Registry
  readonly auth: Auth
  readonly telemetry: Telemetry
  /** Whether the kernel may send files by itself, where it can. */
  readonly sendfile: boolean
}

/** Answers the OCI distribution API. */
export async function createApi({
  registry,
  auth,
  telemetry,
  sendfile,
}: ApiOptions): Promise<RequestListener> {
  const send = createSend(sendfile ? loadKernel() : undefined)
  const app = createServer({ answer: createRoutes({ registry, auth, send, telemetry }), telemetry })
  await app.ready()
  return app.routing
}

type AdminOptions = {
  readonly readiness: () => Readiness
  readonly telemetry: Telemetry
  readonly status?: () => object
}

/** Answers `/livez`, `/readyz`, `/metrics`, and `/status` where there is one. */
export async function createAdmin(options: AdminOptions): Promise<RequestListener> {
  const app = createProbes(options)
  await app.ready()
  return app.routing
}
