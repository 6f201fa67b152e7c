import { Command } from 'commander'
import { serviceAccountDirectory } from '../kubernetes/kubernetes.ts'
import { createTelemetry } from '../telemetry/telemetry.ts'
import {
  createTrust,
  parseRegistryHost,
  parseServer,
  type RegistryHost,
  readNodeAddresses,
  type Server,
  type TrustOptions,
  type TrustStatus,
} from '../trust/trust.ts'
import { UsageError } from './errors.ts'
import { explain } from './start-errors.ts'
import { runTrust, type TrustService } from './trust.ts'

type Context = { readonly environment: Readonly<Record<string, string | undefined>> }

type Options = {
  readonly root: string
  readonly registry?: readonly string[]
  readonly server?: string
  readonly ca?: string
  readonly mirror?: readonly string[]
  readonly nodeIp?: string
  readonly once?: true
  readonly remove?: true
  readonly admin: string
  readonly daemonset?: string
  readonly namespace?: string
  readonly serviceAccount: string
}

const usualRegistry = 'localhost:30026'

export function trustCommand({ environment }: Context): Command {
  return new Command('trust')
    .description("Make this node's container runtimes trust and find the registry")
    .option('--root <directory>', "where the node's file system is", '/')
    .option(
      '--registry <host:port>',
      `as images name it; may be repeated (default: ${usualRegistry})`,
      collect,
    )
    .option(
      '--server <url>',
      'where the runtimes reach it (default: the registry, by https with --ca and by http without)',
    )
    .option('--ca <file>', 'PEM of the authority that signs its certificate; followed for changes')
    .option(
      '--mirror <host>',
      'images of this registry come through Berth too; may be repeated',
      collect,
    )
    .option('--node-ip <address>', "the node's own; default: those of its interfaces")
    .option('--once', 'do it once, and exit')
    .option('--remove', 'put everything back as it was, and exit')
    .option('--admin <host:port>', 'for /livez, /readyz, /metrics and /status', '127.0.0.1:9027')
    .option(
      '--daemonset <name>',
      'when it is gone at the end, everything is put back; its files are told from those of others',
    )
    .option('--namespace <namespace>', 'of the DaemonSet')
    .option(
      '--service-account <directory>',
      'token and CA for the API server',
      serviceAccountDirectory,
    )
    .addHelpText('after', examples)
    .action(async (options: Options) => {
      const trust = trustOptions(options)
      if (options.remove === true) return remove(trust)
      if (options.once === true) return once(trust)
      const { telemetry } = trust
      const service = await runTrust({
        trust,
        admin: parseAddress(options.admin),
        daemonSet: daemonSetOf(options, environment),
        telemetry,
      })
      telemetry.log.info(
        { admin: service.admin.addresses, registries: trust.registries, mirrors: trust.mirrors },
        'following the node',
      )
      await untilStopped(service, trust)
    })
}

function trustOptions(options: Options): TrustOptions {
  const isQuiet = options.once === true || options.remove === true
  const { registry: names = [usualRegistry], mirror = [] } = options
  const registries = [...new Set(names)].map((name) => {
    const registry = parseHost('--registry', name)
    return { registry, server: serverOf(registry, options) }
  })
  if (options.ca !== undefined && registries.some(({ server }) => !server.isTls))
    throw new UsageError('--ca is for a --server with https')
  return {
    root: options.root,
    registries,
    mirrors: [...new Set(mirror)].map((name) => parseHost('--mirror', name)),
    authority: options.ca,
    nodeAddresses: options.nodeIp === undefined ? readNodeAddresses() : [options.nodeIp],
    owner: ownerOf(options),
    telemetry: createTelemetry({ level: isQuiet ? 'silent' : 'info' }),
  }
}

function ownerOf({ daemonset, namespace }: Options): string | undefined {
  if (daemonset === undefined) return undefined
  if (namespace === undefined) throw new UsageError('--daemonset needs --namespace')
  for (const name of [daemonset, namespace])
    if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name))
      throw new UsageError(`${name} is no name of Kubernetes`)
  return `${namespace}/${daemonset}`
}

function serverOf(registry: RegistryHost, { server, ca }: Options): Server {
  const url = server ?? `${ca === undefined ? 'http' : 'https'}://${registry}`
  const parsed = parseServer(url)
  if (parsed === undefined)
    throw new UsageError(`--server ${url}: http or https, host and port, and nothing else`)
  return parsed
}

function parseHost(flag: string, text: string): RegistryHost {
  const host = parseRegistryHost(text)
  if (host === undefined) throw new UsageError(`${flag} ${text}: a host, with a port or without`)
  return host
}

function parseAddress(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]*)):(\d{1,5})$/.exec(text)
  if (match === null) throw new UsageError(`--admin ${text}: host and port, as 127.0.0.1:9027`)
  const [, address, name, port] = match
  return { host: address ?? name ?? '', port: Number(port) }
}

function daemonSetOf(
  { daemonset, namespace, serviceAccount }: Options,
  environment: Context['environment'],
) {
  if (daemonset === undefined || namespace === undefined) return undefined
  const host = environment['KUBERNETES_SERVICE_HOST']
  if (host === undefined)
    throw new UsageError('--daemonset is for a pod: there is no $KUBERNETES_SERVICE_HOST')
  const port = environment['KUBERNETES_SERVICE_PORT'] ?? '443'
  const server = `${host.includes(':') ? `[${host}]` : host}:${port}`
  return { namespace, name: daemonset, server, serviceAccount }
}

async function once(options: TrustOptions): Promise<void> {
  const trust = createTrust(options)
  const status = await explain('--root', trust.apply)
  await trust.close()
  process.stdout.write(describe(status))
  if (!status.ready) process.exitCode = 1
}

async function remove(options: TrustOptions): Promise<void> {
  const trust = createTrust(options)
  const remaining = await explain('--root', trust.undo)
  await trust.close()
  if (remaining.length === 0) return void process.stdout.write('Everything is as it was.\n')
  process.stderr.write(`${remaining.map((line) => `Left: ${line}`).join('\n')}\n`)
  process.exitCode = 1
}

function describe({ problems, runtimes }: TrustStatus): string {
  const lines = runtimes.flatMap(({ runtime, version, canPull, files, problems, notes }) => [
    `${runtime}${version === undefined ? '' : ` ${version}`}: ${canPull ? 'images can be pulled' : 'not served'}`,
    ...files.map(({ path }) => `  ${path}`),
    ...[...problems, ...notes].map((line) => `  ${line.replaceAll('\n', '\n    ')}`),
  ])
  return `${[...problems, ...lines].join('\n')}\n`
}

/** Whoever asks twice means it. */
async function untilStopped(service: TrustService, { telemetry }: TrustOptions): Promise<void> {
  const { log } = telemetry
  const asked = Promise.withResolvers<void>()
  let isAsked = false
  const onSignal = (signal: string) => {
    if (isAsked) void telemetry.end().finally(() => process.exit(1))
    isAsked = true
    log.info({ signal }, 'stopping')
    asked.resolve()
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  await asked.promise
  const remaining = await service.stop()
  log.info('stopped')
  await telemetry.end()
  process.exit(remaining.length === 0 ? 0 : 1)
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}

const examples = `
What it writes is read by the runtimes at each pull: nothing is restarted. What was there before is
kept beside it, and comes back with --remove.

Examples:
  berth trust --once                                             localhost:30026 by plain HTTP
  berth trust --registry registry.example:443 --ca /etc/berth/ca/ca.crt
  berth trust --server http://10.0.0.7:30026                     images still say localhost:30026
  berth trust --mirror docker.io --mirror quay.io
  berth trust --root /host --namespace berth --daemonset berth-trust --admin 0.0.0.0:9027
  berth trust --root /host --remove`
