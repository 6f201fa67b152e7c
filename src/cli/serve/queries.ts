import { join } from 'node:path'
import { z } from 'zod'
import type { Config } from '../../config/config.ts'
import { type ControlActions, createControlHandler } from '../../control/control.ts'
import { listenForPipes, querySocket } from '../../pipe/pipe.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import type { Why } from '../../why/why.ts'
import type { Status } from '../administration/status.ts'
import { clusterName } from '../cluster/cluster-names.ts'

type QueriesOptions = {
  readonly config: Pick<Config, 'storage' | 'listen' | 'hosted'>
  readonly explain: (image: string) => Promise<Why>
  readonly status: () => Promise<Status>
  readonly telemetry: Telemetry
}

/** Characters of the name of an image: a longer one is none. */
const maxImage = 1024
const whyRequest = z.object({ image: z.string().max(maxImage), short: z.boolean().default(false) })

/**
 * Answers questions of `berth why` and `berth status` about this process, on a Unix socket that only this user can
 * open. A directory where no socket can be made is no reason not to serve.
 */
export async function openQueries(options: QueriesOptions): Promise<{ close(): Promise<void> }> {
  const { config, explain, status, telemetry } = options
  const own = {
    host: `localhost:${config.listen.port}`,
    hosted: config.hosted.map(({ prefix }) => prefix),
  }
  const actions: ControlActions = {
    why: async (request, send) => {
      const { image, short } = whyRequest.parse(request)
      send(await explain(short ? clusterName(image, own) : image))
    },
    status: async (_request, send) => send(await status()),
  }
  const handler = createControlHandler(actions)
  const root = config.storage.cache.directory ?? join(config.storage.directory, 'cache')
  try {
    const listener = await listenForPipes(root, handler.accept, querySocket)
    return {
      close: async () => {
        handler.close()
        await listener.close()
      },
    }
  } catch (err) {
    telemetry.log.warn({ err, directory: root }, 'cannot listen for berth why and berth status')
    return { close: async () => handler.close() }
  }
}
