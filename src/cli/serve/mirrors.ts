import { createAuth } from '../../auth/auth.ts'
import { type Config, listenHosts } from '../../config/config.ts'
import { createApi, type Listeners, listen, type Send } from '../../http/http.ts'
import type { Memory } from '../../memory/memory.ts'
import { createMirror, type Registry } from '../../registry/registry.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { attempt } from '../process/start-errors.ts'

type MirrorsOptions = {
  readonly config: Pick<Config, 'mirrors' | 'hosts' | 'limits'>
  readonly registry: Registry
  readonly send: Send
  readonly memory: Memory
  readonly telemetry: Telemetry
}

/**
 * Opens the listeners of the configured mirrors. Every request to them is anonymous, with or without an
 * Authorization header: dockerd sends no password to a mirror, and skips one that requires it. So they
 * serve only what anonymous users may pull.
 */
export async function openMirrors({
  config: { mirrors, hosts: allowedHosts, limits },
  registry,
  send,
  memory,
  telemetry,
}: MirrorsOptions): Promise<readonly Listeners[]> {
  const auth = await createAuth({ anonymous: 'pull', access: [] })
  const opened: Listeners[] = []
  try {
    for (const [index, { listen: address, upstream }] of mirrors.entries()) {
      const mirror = createMirror(registry, upstream)
      const handler = await createApi({
        registry: mirror,
        auth,
        hosts: [...allowedHosts, address.host],
        memory: memory.inFlight,
        answerTime: limits.answerTime,
        telemetry,
        send,
      })
      const { port } = address
      const options = {
        hosts: listenHosts(address),
        port,
        maxConnections: limits.connections,
        connectionMemory: memory.connections,
        memory: memory.inFlight,
      }
      opened.push(await attempt(`mirrors[${index}].listen`, () => listen({ ...options, handler })))
    }
  } catch (error) {
    await Promise.all(opened.map((one) => one.close(0)))
    throw error
  }
  return opened
}
