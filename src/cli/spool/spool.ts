import { mkdir } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import type { LayerCompression } from '../../archive/archive.ts'
import { listenAdmin } from '../../http/http.ts'
import { createMemory, defaultMemoryLimit } from '../../memory/memory.ts'
import { formatSize } from '../../oci/amounts.ts'
import {
  createSpooler,
  type Publish,
  type SpoolEvent,
  type Spooler,
} from '../../spooler/spooler.ts'
import { createTelemetry, type Telemetry } from '../../telemetry/telemetry.ts'
import { hasLogin, type RegistryOptions, readsStdin } from '../login/registry-login.ts'
import { type Context, type OpenRegistry, openRegistry } from '../login/registry-options.ts'
import { UsageError } from '../process/errors.ts'
import { collectGarbageLessOften } from '../process/heap.ts'
import { untilSignal } from '../process/signals.ts'
import { attempt } from '../process/start-errors.ts'
import {
  createDirectoryPublisher,
  readDirectories,
  rulesOf,
  type SpoolDirectory,
} from './spool-directories.ts'
import { createPublisher } from './spool-publisher.ts'

type Options = RegistryOptions & {
  readonly directory: string
  /** `host:port` or a URL. */
  readonly registry: string
  readonly prefix: string
  /** File with the login of each directory; otherwise one login for all. */
  readonly directories?: string
  /** Directory where the result of each file is recorded as well. */
  readonly results?: string
  readonly workers: number
  /** Milliseconds. */
  readonly settle: number
  readonly compression: LayerCompression
  readonly healthHost: string
  readonly healthPort: number
  readonly temporary: string
  readonly maxDone: number
  readonly logLevel: string
}

/** Milliseconds: between two checks of the registry; without a scan until the spooler counts as dead. */
const checkInterval = 15_000
const maxScanAge = 120_000
/** Milliseconds for which records of pushed files are kept, and between two lines about one blob. */
const maxRecordAge = 7 * 24 * 3_600_000
const progressInterval = 10_000

/**
 * The wiring of `berth spool`. Resolves when it was stopped by a signal.
 * @throws StartError
 */
export async function runSpool(context: Context, options: Options): Promise<void> {
  collectGarbageLessOften()
  const { directory, registry, prefix, workers, settle, maxDone } = options
  const telemetry = createTelemetry({ level: options.logLevel, withoutZeros: true })
  const { log } = telemetry
  const directories = await readDirectoriesOf(options)
  const wiring = { options, directories, telemetry }
  const connections = await openConnections(context, wiring)
  await attempt('directory', () => mkdir(directory, { recursive: true }))
  const publish = publisherOf(connections, wiring)
  const spooler = await attempt('directory', () =>
    createSpooler({
      root: directory,
      publish,
      prefix,
      directories: directories && rulesOf(directories),
      results: options.results,
      workers,
      settle,
      done: { maxDone, maxAge: maxRecordAge },
      onEvent: reportTo(telemetry),
    }),
  )
  let access: string | undefined = 'not checked yet'
  const check = async () => {
    access = await findProblem(connections)
    telemetry.metrics.spoolReady.set(access === undefined ? 1 : 0)
  }
  let checking = check()
  const timer = setInterval(() => {
    checking = checking.then(check)
  }, checkInterval)
  const admin = await attempt('admin', async () =>
    listenAdmin({
      hosts: [options.healthHost],
      port: options.healthPort,
      readiness: () => readinessOf(spooler, access),
      isAlive: () => spooler.status().sinceScan < maxScanAge,
      telemetry,
    }),
  )
  setGauges(telemetry, spooler)
  const [{ port } = { port: options.healthPort }] = admin.addresses
  const shown = isIPv6(options.healthHost) ? `[${options.healthHost}]` : options.healthHost
  log.info({ directory, registry, prefix, health: `${shown}:${port}` }, 'spooling')

  const signal = await untilSignal()
  log.info({ signal }, 'stopping')
  clearInterval(timer)
  await spooler.stop()
  await checking
  for (const { remote } of connections.values()) await remote.close()
  await admin.close(0)
  log.info('stopped')
  await telemetry.end()
  // Idle connections would keep the process running.
  process.exit(0)
}

type Wiring = {
  readonly options: Options
  readonly directories: readonly SpoolDirectory[] | undefined
  readonly telemetry: Telemetry
}
/** By directory or pattern; the key is empty if there is one login for all files. */
type Connections = ReadonlyMap<string, OpenRegistry>

async function readDirectoriesOf(options: Options): Promise<readonly SpoolDirectory[] | undefined> {
  if (options.directories === undefined) return undefined
  if (hasLogin(options) || readsStdin(options) || options.token !== undefined)
    throw new UsageError('--directories has the credentials: leave out those of the command')
  return readDirectories(options.directories)
}

async function openConnections(
  context: Context,
  { options, directories, telemetry }: Wiring,
): Promise<Connections> {
  const { registry: host, certificate, plainHttp } = options
  if (directories === undefined)
    return new Map([['', await openRegistry({ ...context, host, options, telemetry })]])
  const memory = createMemory(defaultMemoryLimit())
  const opened = new Map<string, OpenRegistry>()
  for (const { pattern, login } of directories) {
    const own = {
      ...login,
      ...(certificate === undefined ? {} : { certificate }),
      ...(plainHttp === undefined ? {} : { plainHttp }),
    }
    opened.set(pattern, await openRegistry({ ...context, host, options: own, telemetry, memory }))
  }
  return opened
}

function publisherOf(
  connections: Connections,
  { options, directories, telemetry }: Wiring,
): Publish {
  const { registry, compression, temporary } = options
  const onProgress = progressLog(telemetry)
  const publishers = new Map(
    [...connections].map(([name, { remote }]) => [
      name,
      createPublisher({
        host: registry.replace(/^https?:\/\//, ''),
        remote,
        compression,
        directory: temporary,
        onProgress,
        onRetry: (file, { attempt, error, pause }) =>
          telemetry.log.warn({ file, attempt, seconds: pause / 1000, err: error }, 'retrying'),
        onUnlisted: (file, err) =>
          telemetry.log.warn({ file, err }, 'a pushed referrer is not listed'),
      }),
    ]),
  )
  const only = publishers.get('')
  return directories === undefined && only !== undefined
    ? only
    : createDirectoryPublisher(directories ?? [], publishers)
}

/** Why files cannot be pushed now; undefined if all logins are accepted. */
async function findProblem(connections: Connections): Promise<string | undefined> {
  const problems = await Promise.all(
    [...connections].map(async ([name, { remote }]) => {
      try {
        await remote.checkAccess()
        return undefined
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        return name === '' ? message : `${name}: ${message}`
      }
    }),
  )
  const found = problems.filter((problem) => problem !== undefined)
  return found.length === 0 ? undefined : found.join('; ')
}

function readinessOf(spooler: Spooler, access: string | undefined) {
  const { problem } = spooler.status()
  return {
    ready: problem === undefined && access === undefined,
    parts: { spool: problem ?? 'ok', registry: access ?? 'ok' },
  }
}

/** A second signal ends the process at once: nothing is lost by that. */
function reportTo({ log, metrics }: Telemetry): (event: SpoolEvent) => void {
  for (const result of ['pushed', 'deleted', 'failed']) metrics.spoolFiles.inc({ result }, 0)
  return (event) => {
    switch (event.kind) {
      case 'started':
        return log.info({ file: event.path, size: event.size }, 'pushing')
      case 'finished': {
        const { file, state, images, reason, code, attempts } = event.record
        metrics.spoolFiles.inc({ result: state })
        if (state === 'failed') return log.error({ file, reason, code, attempts }, 'failed')
        return log.info({ file, images, attempts }, state)
      }
      case 'retry':
        metrics.spoolRetries.inc()
        return log.warn(
          { file: event.path, seconds: event.pause / 1000, err: event.error },
          'cannot push, will retry',
        )
      case 'broken':
        return log.error({ err: event.error }, 'the spool cannot be read or written')
      case 'mended':
        return log.info('the spool can be read and written again')
    }
  }
}

function progressLog({
  log,
  metrics,
}: Telemetry): Parameters<typeof createPublisher>[0]['onProgress'] {
  const lastAt = new Map<string, number>()
  const before = new Map<string, number>()
  return (file, { digest, size, sent, state }) => {
    const key = `${file} ${digest}`
    metrics.spoolBytes.inc(Math.max(sent - (before.get(key) ?? 0), 0))
    before.set(key, sent)
    if (state !== 'sending') {
      lastAt.delete(key)
      before.delete(key)
      return
    }
    const last = lastAt.get(key) ?? performance.now()
    if (!lastAt.has(key)) lastAt.set(key, last)
    if (performance.now() - last < progressInterval) return
    lastAt.set(key, performance.now())
    const percent = Math.floor((100 * sent) / Math.max(size, 1))
    log.info({ file, digest, percent, of: formatSize(size) }, 'sending')
  }
}

function setGauges({ metrics }: Telemetry, spooler: Spooler): void {
  metrics.onScrape(() => {
    const { files, oldest, failed, problem } = spooler.status()
    metrics.spoolWritable.set(problem === undefined ? 1 : 0)
    metrics.spoolQueue.set(files)
    metrics.spoolOldest.set(files === 0 ? 0 : oldest)
    metrics.spoolFailed.set(failed)
  })
}
