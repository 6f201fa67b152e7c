import { hostname } from 'node:os'
import { join } from 'node:path'
import { listenAdmin } from '../../http/http.ts'
import { readRegularFile } from '../../input/input.ts'
import { createApiClient, serviceAccountDirectory } from '../../kubernetes/kubernetes.ts'
import {
  keepLease,
  type Operator,
  readOwnImage,
  startOperator,
  surrogateReport,
} from '../../operator/operator.ts'
import { createOutbound, requestWhole } from '../../outbound/outbound.ts'
import { createTelemetry } from '../../telemetry/telemetry.ts'
import type { Context } from '../login/registry-options.ts'
import { UsageError } from '../process/errors.ts'
import { untilSignal } from '../process/signals.ts'
import { attempt } from '../process/start-errors.ts'

type Options = {
  readonly image?: string
  readonly imagePullSecrets: readonly string[]
  readonly namespace?: string
  readonly port: number
  readonly adminHost: string
  readonly logLevel: string
}

const leaseName = 'berth-operator'
/** Of surrogates, and milliseconds for their answer. */
const surrogatePort = 9026
const reportTimeout = 3000
const maxReport = 64 * 1024

/** The wiring of `berth operator run`. Resolves when it was stopped by a signal, or has lost the Lease. */
export async function runOperator({ environment }: Context, options: Options): Promise<void> {
  const { namespace } = options
  const telemetry = createTelemetry({ level: options.logLevel, withoutZeros: true })
  const { log, metrics } = telemetry
  const directory = environment['BERTH_SERVICE_ACCOUNT'] ?? serviceAccountDirectory
  const client = createApiClient({ server: serverIn(environment), directory })
  const ownNamespace = await readRegularFile(join(directory, 'namespace')).catch(() => {
    throw new UsageError(
      `${directory} has no namespace: berth operator run needs a pod with the token of its service account`,
    )
  })
  const own = { namespace: ownNamespace.trim(), name: hostname() }
  const surrogates =
    options.image === undefined
      ? await attempt('image', () => readOwnImage(client, own))
      : { image: options.image, imagePullSecrets: options.imagePullSecrets }
  const reports = createOutbound().open({ timeout: reportTimeout, direct: true })
  const readReport = async (address: string) => {
    const host = address.includes(':') ? `[${address}]` : address
    const url = new URL(`http://${host}:${surrogatePort}/status`)
    const signal = AbortSignal.timeout(reportTimeout)
    const { status, body } = await requestWhole(reports, { url, signal, maxBytes: maxReport })
    if (status !== 200) throw new Error(`it answered ${status}`)
    return surrogateReport.parse(JSON.parse(body.toString('utf8')))
  }

  const lease = keepLease({
    ...{ client, namespace: own.namespace, name: leaseName, identity: own.name, log },
  })
  let operator: Operator | undefined
  metrics.onScrape(() => metrics.operatorLeader.set(lease.isLeader() ? 1 : 0))
  const admin = await attempt('admin', () =>
    listenAdmin({
      hosts: [options.adminHost],
      port: options.port,
      readiness: () => ({
        ready: operator?.problem() === undefined,
        parts: {
          leader: lease.isLeader() ? 'this replica' : 'another replica, or none yet',
          watches: operator?.problem() ?? 'ok',
        },
      }),
      telemetry,
    }),
  )
  log.info({ ...surrogates, namespace: namespace ?? 'all' }, 'waiting for the Lease')

  const stopped = untilSignal()
  const reason = await Promise.race([
    stopped,
    lease.elected.then(() => {
      operator = startOperator({ ...surrogates, client, namespace, readReport, telemetry })
      return Promise.race([stopped, lease.lost.then(() => 'the Lease is lost')])
    }),
  ])
  log.info({ reason }, 'stopping')
  await operator?.close()
  await lease.close()
  await admin.close(0)
  await Promise.all([client.close(), reports.destroy()])
  await telemetry.end()
  process.exit(0)
}

function serverIn(environment: Context['environment']): string {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = environment
  if (host === undefined)
    throw new UsageError('berth operator run needs a pod: there is no KUBERNETES_SERVICE_HOST')
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}
