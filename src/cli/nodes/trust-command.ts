import { Command } from 'commander'
import { apiServerAddress } from '../../config/config.ts'
import {
  podTokenProvider,
  podTokenProviderConfig,
  serviceAccountDirectory,
} from '../../kubernetes/kubernetes.ts'
import { createTelemetry } from '../../telemetry/telemetry.ts'
import {
  createTrust,
  parseRegistryHost,
  parseServer,
  type RegistryHost,
  readNodeAddresses,
  type Server,
  type TrustOptions,
  type TrustStatus,
} from '../../trust/trust.ts'
import { collect } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'
import { attempt } from '../process/start-errors.ts'
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
  readonly credentialProvider?: string
  readonly audience: string
}

const defaultRegistry = 'localhost:30026'

export function trustCommand({ environment }: Context): Command {
  return new Command('trust')
    .summary("configure a node's container runtimes to pull from Berth")
    .description(
      "Configure this node's container runtimes to pull from Berth and to trust its certificate: write their files, and keep them up to date.",
    )
    .option('--root <directory>', "where the node's file system is mounted", '/')
    .option(
      '--registry <host:port>',
      `host of Berth in image references; repeatable (default: ${defaultRegistry})`,
      collect,
    )
    .option(
      '--server <url>',
      'URL at which the runtimes reach Berth (default: the registry, with https if --ca is set)',
    )
    .option(
      '--ca <file>',
      "PEM file of the CA that signed Berth's certificate; read again when it changes",
    )
    .option(
      '--mirror <host>',
      'pull the images of this registry through Berth, too; repeatable',
      collect,
    )
    .option('--node-ip <address>', 'address of the node (default: those of its interfaces)')
    .option('--once', 'write the files once, and exit')
    .option('--remove', 'restore the original files, and exit')
    .option(
      '--admin <host:port>',
      'address of /livez, /readyz, /metrics and /status',
      '127.0.0.1:9027',
    )
    .option(
      '--daemonset <name>',
      'DaemonSet of this pod: if it is deleted, restore the original files on exit',
    )
    .option('--namespace <namespace>', 'namespace of the DaemonSet')
    .option(
      '--service-account <directory>',
      'directory with the token and the CA for requests to the API server',
      serviceAccountDirectory,
    )
    .option(
      '--credential-provider <directory>',
      "directory of the node for a kubelet's credential provider, by which pods pull from the registries as themselves",
    )
    .option('--audience <audience>', 'with --credential-provider: audience of the tokens', 'berth')
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
        "keeping the node's files up to date",
      )
      await untilStopped(service, trust)
    })
}

function trustOptions(options: Options): TrustOptions {
  const isOneTime = options.once === true || options.remove === true
  const { registry: names = [defaultRegistry], mirror = [] } = options
  const registries = [...new Set(names)].map((name) => {
    const registry = parseHost('--registry', name)
    return { registry, server: serverOf(registry, options) }
  })
  if (options.ca !== undefined && registries.some(({ server }) => !server.isTls))
    throw new UsageError('--ca requires a --server with https')
  return {
    root: options.root,
    registries,
    mirrors: [...new Set(mirror)].map((name) => parseHost('--mirror', name)),
    authority: options.ca,
    nodeAddresses: options.nodeIp === undefined ? readNodeAddresses() : [options.nodeIp],
    owner: ownerOf(options),
    credentialProvider: providerOf(options, names),
    telemetry: createTelemetry({ level: isOneTime ? 'silent' : 'info', withoutZeros: true }),
  }
}

function providerOf(
  { credentialProvider: directory, audience }: Options,
  registries: readonly string[],
): TrustOptions['credentialProvider'] {
  if (directory === undefined) return undefined
  if (!/^\/[^/]/.test(directory))
    throw new UsageError(`--credential-provider ${directory} is not an absolute path`)
  const configuration = podTokenProviderConfig({ registries, audience })
  return { directory, program: podTokenProvider, configuration }
}

function ownerOf({ daemonset, namespace }: Options): string | undefined {
  if (daemonset === undefined) return undefined
  if (namespace === undefined) throw new UsageError('--daemonset requires --namespace')
  for (const name of [daemonset, namespace])
    if (!/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name))
      throw new UsageError(`${name} is not a valid Kubernetes name`)
  return `${namespace}/${daemonset}`
}

function serverOf(registry: RegistryHost, { server, ca }: Options): Server {
  const url = server ?? `${ca === undefined ? 'http' : 'https'}://${registry}`
  const parsed = parseServer(url)
  if (parsed === undefined)
    throw new UsageError(
      `--server ${url} is invalid: expected http or https, a host and optionally a port`,
    )
  return parsed
}

function parseHost(flag: string, text: string): RegistryHost {
  const host = parseRegistryHost(text)
  if (host === undefined)
    throw new UsageError(`${flag} ${text} is invalid: expected HOST or HOST:PORT`)
  return host
}

function parseAddress(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:\s]*)):(\d{1,5})$/.exec(text)
  if (match === null)
    throw new UsageError(`--admin ${text} is invalid: expected HOST:PORT, such as 127.0.0.1:9027`)
  const [, address, name, port] = match
  return { host: address ?? name ?? '', port: Number(port) }
}

function daemonSetOf(
  { daemonset, namespace, serviceAccount }: Options,
  environment: Context['environment'],
) {
  if (daemonset === undefined || namespace === undefined) return undefined
  const server = apiServerAddress(environment)
  if (server === undefined)
    throw new UsageError('--daemonset works only in a pod: $KUBERNETES_SERVICE_HOST is not set')
  return { namespace, name: daemonset, server, serviceAccount }
}

async function once(options: TrustOptions): Promise<void> {
  const trust = createTrust(options)
  const status = await attempt('--root', trust.apply)
  await trust.close()
  process.stdout.write(describe(status))
  if (!status.ready) process.exitCode = 1
}

async function remove(options: TrustOptions): Promise<void> {
  const trust = createTrust(options)
  const remaining = await attempt('--root', trust.undo)
  await trust.close()
  if (remaining.length === 0) return void process.stdout.write('All original files are restored.\n')
  process.stderr.write(`${remaining.map((line) => `Not restored: ${line}`).join('\n')}\n`)
  process.exitCode = 1
}

function describe({ problems, runtimes }: TrustStatus): string {
  const lines = runtimes.flatMap(({ runtime, version, canPull, files, problems, notes }) => [
    `${runtime}${version === undefined ? '' : ` ${version}`}: ${stateOf(runtime, canPull)}`,
    ...files.map(({ path }) => `  ${path}`),
    ...[...problems, ...notes].map((line) => `  ${line.replaceAll('\n', '\n    ')}`),
  ])
  return `${[...problems, ...lines].join('\n')}\n`
}

function stateOf(runtime: TrustStatus['runtimes'][number]['runtime'], canPull: boolean): string {
  if (runtime === 'kubelet') return 'credential provider'
  return canPull ? 'can pull from Berth' : 'cannot pull from Berth'
}

/** A second signal exits immediately with status 1. */
async function untilStopped(service: TrustService, { telemetry }: TrustOptions): Promise<void> {
  const { log } = telemetry
  const stopRequested = Promise.withResolvers<void>()
  let isStopping = false
  const onSignal = (signal: string) => {
    if (isStopping) void telemetry.end().finally(() => process.exit(1))
    isStopping = true
    log.info({ signal }, 'stopping')
    stopRequested.resolve()
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  await stopRequested.promise
  const remaining = await service.stop()
  log.info('stopped')
  await telemetry.end()
  process.exit(remaining.length === 0 ? 0 : 1)
}

const examples = `
Runtimes read these files at each pull: they do not have to be restarted. Original files are kept as
backups beside the new ones, and --remove restores them.

Examples:
  # pull from localhost:30026 by plain HTTP
  berth trust --once
  # pull from another host by TLS, with its own CA
  berth trust --registry registry.example:443 --ca /etc/berth/ca/ca.crt
  # keep localhost:30026 in image references, but connect to another address
  berth trust --server http://10.0.0.7:30026
  # pull images of Docker Hub and quay.io through Berth
  berth trust --mirror docker.io --mirror quay.io
  # in the pods of a DaemonSet
  berth trust --root /host --namespace berth --daemonset berth-trust --admin 0.0.0.0:9027
  # pods pull as themselves: the files of a credential provider for the kubelet
  berth trust --credential-provider /opt/berth
  # restore the original files
  berth trust --root /host --remove`
