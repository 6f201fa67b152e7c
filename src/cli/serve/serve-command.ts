import { Command } from 'commander'
import { listFlags, loadConfig, printConfig } from '../../config/config.ts'
import { collect } from '../output/options.ts'
import { allocateInYoungGeneration } from '../process/heap.ts'
import { banner } from './banner.ts'
import { type Service, serve } from './serve.ts'

type Context = {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly version: string
}

export function serveCommand({ environment, version }: Context): Command {
  const command = new Command('serve')
    .summary('run the registry')
    .description(
      'Run the registry. Each field comes from a flag, an environment variable, the configuration file or its default, in this order.',
    )
    .option(
      '--config <file>',
      'configuration file, YAML (default: $BERTH_CONFIG, else the embedded default)',
    )
    .option(
      '--set <field=value>',
      'set any field, such as upstreams[0].url=https://europe-west1-docker.pkg.dev; repeatable',
      collect,
    )
    .option('--print-config', 'print the effective configuration without secrets, and exit')
    .option('--banner', 'print the addresses and a command to try to standard error')
  const flags = listFlags()
  for (const { name, description, isBoolean } of flags) {
    command.option(`--${name} ${isBoolean ? '[true|false]' : '<value>'}`, uncapitalize(description))
  }
  command.addHelpText('after', examples)

  return command.action(async (options: Readonly<Record<string, unknown>>) => {
    const given = flags.flatMap(({ name }) => {
      const value = options[camelCase(name)]
      // A boolean flag may have no value: --sendfile.
      return value === undefined ? [] : [[name, String(value)] as const]
    })
    const file = typeof options['config'] === 'string' ? options['config'] : undefined
    const set = Array.isArray(options['set']) ? options['set'].map(String) : []
    const loaded = loadConfig({ file, flags: Object.fromEntries(given), set, environment })
    if (options['printConfig'] === true) {
      process.stdout.write(printConfig(loaded.config))
      return
    }
    allocateInYoungGeneration()
    const service = await serve(loaded, { version })
    const { config } = loaded
    service.telemetry.log.info(
      {
        listen: service.api.addresses,
        mirrors: service.mirrors.map(({ addresses }) => addresses),
        admin: service.admin.addresses,
        version,
        config: loaded.file,
      },
      'listening',
    )
    if (options['banner'] === true) {
      process.stderr.write(
        banner({
          config,
          file: loaded.file,
          listening: service.api.addresses,
          admin: service.admin.addresses,
        }),
      )
    }
    await untilStopped(service)
  })
}

const examples = `
Examples:
  # listen on localhost:30026, with the embedded default configuration
  berth serve
  # use a configuration file
  berth serve --config /etc/berth/berth.yaml
  # a larger cache and another upstream
  berth serve --storage-cache-max-size 50GiB --set 'upstreams[0].url=https://europe-west1-docker.pkg.dev'
  # listen on all addresses, for the users of an htpasswd file
  BERTH_LISTEN=0.0.0.0:30026 BERTH_AUTH_HTPASSWD=/etc/berth/htpasswd berth serve
  # start a configuration file
  berth serve --print-config > berth.yaml`

/**
 * Milliseconds within which a second signal counts as the first: a terminal sends Ctrl-C to every process
 * of a command, and npm also forwards it to us.
 */
const duplicateWindow = 500

/**
 * SIGINT, from a terminal, and SIGHUP, when it is closed, stop without the delay; SIGTERM, from an orchestrator,
 * after it. A second signal exits immediately with status 1.
 */
async function untilStopped({ stop, telemetry }: Service): Promise<void> {
  const { log } = telemetry
  const stopRequested = Promise.withResolvers<{ signal: string; status: number }>()
  let first: number | undefined
  const onSignal = (signal: string) => {
    const now = performance.now()
    first ??= now
    if (now - first > duplicateWindow) void telemetry.end().finally(() => process.exit(1))
    stopRequested.resolve({ signal, status: 0 })
  }
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, onSignal)
  // After an uncaught error the state is unknown: log it, finish running requests, and exit.
  const onUncaught = (err: unknown) => {
    log.fatal({ err }, 'uncaught error')
    stopRequested.resolve({ signal: 'uncaught error', status: 1 })
  }
  process.on('uncaughtException', onUncaught)
  process.on('unhandledRejection', onUncaught)

  const { signal, status } = await stopRequested.promise
  log.info({ signal }, 'stopping')
  const failure = await stop(signal !== 'SIGTERM').then(
    () => undefined,
    (err: unknown) => ({ err }),
  )
  // What is still open would keep the process running.
  if (failure === undefined) log.info('stopped')
  else log.error(failure, 'stopped, but not everything could be closed')
  await telemetry.end()
  process.exit(failure === undefined ? status : 1)
}

/** As in the descriptions of all other options; keeps abbreviations. */
function uncapitalize(text: string): string {
  return text.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase())
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
