import { Command } from 'commander'
import { listFlags, loadConfig, printConfig } from '../config/config.ts'
import { banner } from './banner.ts'
import { type Service, serve } from './serve.ts'

type Context = {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly version: string
}

export function serveCommand({ environment, version }: Context): Command {
  const command = new Command('serve')
    .description('Run the registry')
    .option(
      '--config <file>',
      'YAML file; without it, and without $BERTH_CONFIG, an embedded default is in force',
    )
    .option(
      '--set <field=value>',
      'any field, as in upstreams[0].url=https://europe-west1-docker.pkg.dev; may be repeated',
      collect,
    )
    .option(
      '--print-config',
      'print the configuration that would be in force, secrets hidden, and exit',
    )
    .option('--banner', 'say where it listens and what to try, for people, on standard error')
  const flags = listFlags()
  for (const { name, description, isBoolean } of flags) {
    command.option(`--${name} ${isBoolean ? '[true|false]' : '<value>'}`, description)
  }
  command.addHelpText('after', examples)

  return command.action(async (options: Readonly<Record<string, unknown>>) => {
    const given = flags.flatMap(({ name }) => {
      const value = options[camel(name)]
      // A flag of its own without a value: --sendfile.
      return value === undefined ? [] : [[name, String(value)] as const]
    })
    const file = typeof options['config'] === 'string' ? options['config'] : undefined
    const set = Array.isArray(options['set']) ? options['set'].map(String) : []
    const loaded = loadConfig({ file, flags: Object.fromEntries(given), set, environment })
    if (options['printConfig'] === true) {
      process.stdout.write(printConfig(loaded.config))
      return
    }
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
  berth serve                                            on localhost:30026, with the embedded default
  berth serve --config /etc/berth/berth.yaml
  berth serve --storage-cache-max-size 50GiB --set 'upstreams[0].url=https://europe-west1-docker.pkg.dev'
  BERTH_LISTEN=0.0.0.0:30026 BERTH_AUTH_HTPASSWD=/etc/berth/htpasswd berth serve
  berth serve --print-config > berth.yaml                to begin a file with`

/**
 * Milliseconds within which a second signal is the first one: a terminal sends Ctrl-C to all of a
 * command's processes, and npm, being one of them, passes it on to us.
 */
const echo = 500

/**
 * A terminal's Ctrl-C stops at once, an orchestrator's SIGTERM after the delay; whoever asks twice
 * means it.
 */
async function untilStopped({ stop, telemetry }: Service): Promise<void> {
  const { log } = telemetry
  const asked = Promise.withResolvers<{ signal: string; status: number }>()
  let first: number | undefined
  const onSignal = (signal: string) => {
    const now = performance.now()
    first ??= now
    if (now - first > echo) void telemetry.end().finally(() => process.exit(1))
    asked.resolve({ signal, status: 0 })
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  // What nobody caught leaves us in a state that nobody knows: told, and then a new start.
  const onFault = (err: unknown) => {
    log.fatal({ err }, 'fault')
    asked.resolve({ signal: 'fault', status: 1 })
  }
  process.on('uncaughtException', onFault)
  process.on('unhandledRejection', onFault)

  const { signal, status } = await asked.promise
  log.info({ signal }, 'stopping')
  await stop(signal !== 'SIGTERM')
  log.info('stopped')
  await telemetry.end()
  process.exit(status)
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

function camel(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
