import { type Listeners, listenAdmin, type Readiness } from '../../http/http.ts'
import { createCluster, watchDaemonSet } from '../../kubernetes/kubernetes.ts'
import type { Telemetry } from '../../telemetry/telemetry.ts'
import { createTrust, type TrustOptions, type TrustStatus } from '../../trust/trust.ts'
import { attempt } from '../process/start-errors.ts'

/** Milliseconds between two checks of the node's files. */
const checkInterval = 2000

/** A running `berth trust`. */
export type TrustService = {
  readonly admin: Listeners
  /** Restores the node's files if the DaemonSet is gone. Returns what could not be restored. */
  stop(): Promise<readonly string[]>
}

type Options = {
  readonly trust: TrustOptions
  readonly admin: { readonly host: string; readonly port: number }
  readonly daemonSet:
    | {
        readonly namespace: string
        readonly name: string
        readonly server: string
        readonly serviceAccount: string
      }
    | undefined
  readonly telemetry: Telemetry
}

/**
 * The wiring of `berth trust`.
 * @throws StartError if the admin port is in use.
 */
export async function runTrust(options: Options): Promise<TrustService> {
  const { telemetry, daemonSet } = options
  const { log } = telemetry
  const trust = createTrust(options.trust)
  const { registries, mirrors, owner } = options.trust
  let stopping = false
  const admin = await attempt('admin', async () =>
    listenAdmin({
      hosts: [options.admin.host],
      port: options.admin.port,
      readiness: () => readinessOf(trust.status(), stopping),
      status: () => ({ ...trust.status(), registries, mirrors, owner }),
      telemetry,
    }),
  )
  const own =
    daemonSet === undefined
      ? undefined
      : watchDaemonSet({
          ...daemonSet,
          cluster: createCluster({ ...daemonSet, directory: daemonSet.serviceAccount }),
          log,
        })
  trust.follow(checkInterval)

  return {
    admin,
    stop: async () => {
      stopping = true
      await trust.close()
      const isGone = (await own?.isGone()) ?? false
      const remaining = isGone ? await trust.undo({ keepCredentialProvider: true }) : []
      log.info({ undone: isGone, ...(isGone && { remaining }) }, 'no longer checking the node')
      await own?.close()
      await admin.close(0)
      return remaining
    },
  }
}

/** Not ready while no runtime of the node can pull. */
function readinessOf(status: TrustStatus, stopping: boolean): Readiness {
  const own = [...(stopping ? ['shutting down'] : []), ...status.problems]
  const runtimes = status.runtimes.map(({ runtime, canPull, problems }) => [
    runtime,
    problems.length > 0
      ? problems.join('\n')
      : canPull || runtime === 'kubelet'
        ? 'ok'
        : 'cannot pull from Berth',
  ])
  return {
    ready: status.ready && !stopping,
    parts: {
      node: own.length === 0 ? 'ok' : own.join('\n'),
      ...Object.fromEntries(runtimes),
    },
  }
}
