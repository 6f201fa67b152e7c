import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { z } from 'zod'
import { parseRegistry } from '../../config/config.ts'
import { readRegularFile } from '../../input/input.ts'
import {
  createLocalCluster,
  type DockerLogins,
  type LocalFiles,
  renderCluster,
  runProgram,
  server,
  type Tool,
  tools,
} from '../../kind/kind.ts'
import { dockerHubHosts, dockerHubKey } from '../../oci/docker-hub.ts'
import { isRegistryHost } from '../../oci/registry-host.ts'
import { collect } from '../output/options.ts'
import { UsageError } from '../process/errors.ts'

type Environment = Readonly<Record<string, string | undefined>>
type Context = { readonly environment: Environment; readonly version: string }

type Engine = 'docker' | 'podman'

type CommonOptions = { readonly name: string; readonly engine?: Engine; readonly port: string }

type UpOptions = CommonOptions & {
  readonly workers: string
  readonly image: string
  readonly nodeImage?: string
  readonly network: string
  readonly upstream?: readonly string[]
  readonly cacheSize: string
  readonly registryOnly?: true
  readonly output?: Tool
}

const defaultUpstreams = [
  'docker.io',
  'ghcr.io',
  'quay.io',
  'registry.k8s.io',
  'mcr.microsoft.com',
  'public.ecr.aws',
  'gcr.io',
  'us-docker.pkg.dev',
  'europe-docker.pkg.dev',
  'asia-docker.pkg.dev',
]

/** `berth kind …`: a local cluster with the same `localhost:PORT` on this machine and in image references. */
export function kindCommand(context: Context): Command {
  return new Command('kind')
    .summary('a local cluster of kind, with Berth as its registry')
    .description(
      'Create and delete a local Kubernetes cluster of kind whose images come from Berth: localhost:PORT is the same registry on this machine and in image references.',
    )
    .addCommand(upCommand(context))
    .addCommand(downCommand(context))
}

function upCommand(context: Context): Command {
  return addCommonOptions(new Command('up'))
    .summary('create the cluster and the registry, or what is missing of them')
    .option('--workers <number>', 'worker nodes of a new cluster', '0')
    .option('--image <image>', "Berth's image", `localhost/berth:${context.version}`)
    .option('--node-image <image>', "image of the nodes (default: kind's own)")
    .option(
      '--upstream <host>',
      'registry to cache in addition to the well-known ones, such as europe-west1-docker.pkg.dev; repeatable',
      collect,
    )
    .option('--cache-size <size>', 'maximum size of the cache', '20GiB')
    .option('--network <network>', "network of the registry's container", 'kind')
    .option('--registry-only', 'start only the registry, for clusters of other programs')
    .addOption(
      new Option(
        '--output <program>',
        'print the configuration of a cluster for this program, and do nothing else',
      ).choices(tools),
    )
    .addHelpText('after', upExamples)
    .action(async (options: UpOptions) => {
      const { output, name } = options
      if (output !== undefined) {
        const shape = { name, workers: workersOf(options), port: portOf(options), server }
        return void process.stdout.write(renderCluster(output, shape))
      }
      const cluster = await openCluster(options, context)
      if (options.registryOnly === true) await cluster.startRegistry()
      else await cluster.up()
      process.stdout.write(summary(options))
    })
}

function downCommand(context: Context): Command {
  return addCommonOptions(new Command('down'))
    .summary('delete the cluster, and the registry unless another cluster uses it')
    .option('--volumes', 'also delete all images of the registry')
    .addHelpText(
      'after',
      `
The volume with cached and pushed images stays for the next cluster, unless --volumes is set.

Examples:
  berth kind down
  berth kind down --name other --volumes`,
    )
    .action(async (options: CommonOptions & { readonly volumes?: true }) => {
      const up = { workers: '0', image: '', network: 'kind', cacheSize: '' }
      const cluster = await openCluster({ ...up, ...options }, context)
      await cluster.down({ volume: options.volumes === true })
    })
}

function addCommonOptions(command: Command): Command {
  return command
    .option('--name <name>', 'name of the cluster', 'kind')
    .option('--port <port>', 'port of the registry on this machine', '30026')
    .addOption(
      new Option(
        '--engine <engine>',
        'container engine (default: $KIND_EXPERIMENTAL_PROVIDER, or the one that runs)',
      ).choices(['docker', 'podman']),
    )
}

async function openCluster(options: UpOptions, { environment }: Context) {
  const { name, image, network, nodeImage, cacheSize, upstream = [] } = options
  if (!/^[a-z0-9.-]+$/.test(name))
    throw new UsageError(`--name ${name}: expected lower-case letters, digits, dots and hyphens`)
  for (const host of upstream)
    if (!isRegistryHost(host))
      throw new UsageError(`--upstream ${host}: expected HOST or HOST:PORT`)
  const engine = options.engine ?? (await runningEngine(environment))
  const { ambient } = parseRegistry({ url: 'http://localhost' }, environment)
  const aws = join(homedir(), '.aws')
  const docker = existsSync(ambient.dockerConfig) ? ambient.dockerConfig : undefined
  const files: LocalFiles = {
    google: ambient.googleCredentials,
    aws: existsSync(aws) ? aws : undefined,
    docker,
  }
  const configuration = environment['XDG_CONFIG_HOME'] || join(homedir(), '.config')
  return createLocalCluster({
    engine,
    name,
    workers: workersOf(options),
    nodeImage,
    port: portOf(options),
    image,
    network,
    upstreams: [...new Set([...defaultUpstreams, ...upstream])],
    maxCacheSize: cacheSize,
    files,
    logins: await dockerLogins(docker),
    configFile: join(configuration, 'berth', 'kind', 'berth.yaml'),
    environment: selected(environment),
    processEnvironment: environment,
    run: runProgram,
    report: (line) => process.stdout.write(`${line}\n`),
    onProgress: (text) => process.stderr.write(text),
  })
}

function portOf({ port }: CommonOptions): number {
  const number = Number(port)
  if (!/^\d+$/.test(port) || number < 1 || number > 65535)
    throw new UsageError(`--port ${port}: expected a number from 1 to 65535`)
  if (number === 5000 && process.platform === 'darwin')
    throw new UsageError(
      '--port 5000: the AirPlay receiver of macOS listens on this port; choose another one',
    )
  return number
}

function workersOf({ workers }: Pick<UpOptions, 'workers'>): number {
  if (!/^\d{1,2}$/.test(workers))
    throw new UsageError(`--workers ${workers}: expected a number from 0 to 99`)
  return Number(workers)
}

async function runningEngine(environment: Environment): Promise<Engine> {
  const preferred = environment['KIND_EXPERIMENTAL_PROVIDER']
  if (preferred === 'docker' || preferred === 'podman') return preferred
  for (const engine of ['docker', 'podman'] as const) {
    const runs = await runProgram([engine, 'ps', '--quiet']).then(
      () => true,
      () => false,
    )
    if (runs) return engine
  }
  throw new UsageError(
    'neither docker nor podman runs here, or this user may not use them: start one of them, or choose it with --engine to see its message',
  )
}

/** Variables that are not secret and say which identity to use. */
function selected(environment: Environment): Record<string, string> {
  const names = ['AWS_PROFILE', 'AWS_REGION', 'AWS_DEFAULT_REGION']
  const entries = names.map((name) => [name, environment[name]] as const)
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => !!entry[1]))
}

const dockerSchema = z.object({
  auths: z.record(z.string(), z.object({ auth: z.string().nullish() })).nullish(),
  credHelpers: z.record(z.string(), z.string()).nullish(),
  credsStore: z.string().nullish(),
})

async function dockerLogins(file: string | undefined): Promise<DockerLogins> {
  if (file === undefined) return { inFile: [], inHelper: [] }
  const text = await readRegularFile(file)
  const parsed = dockerSchema.safeParse(JSON.parse(text))
  const { auths, credHelpers, credsStore } = parsed.data ?? {}
  const names = Object.entries(auths ?? {})
  const inFile = names.filter(([, { auth }]) => auth).map(([name]) => hostOf(name))
  const stored = credsStore ? names.filter(([, { auth }]) => !auth).map(([name]) => name) : []
  return { inFile, inHelper: [...Object.keys(credHelpers ?? {}), ...stored].map(hostOf) }
}

function hostOf(name: string): string {
  if (name === dockerHubKey) return dockerHubHosts[0] ?? name
  return URL.parse(name.includes('://') ? name : `https://${name}`)?.host ?? name
}

function summary({ port, registryOnly }: UpOptions): string {
  const host = `localhost:${port}`
  const use = `
Push:  docker push ${host}/app:1.2
Pods:  image: ${host}/app:1.2
`
  return registryOnly === true
    ? `${use}Nodes reach it at ${server}\n`
    : `${use}       image: busybox   (pulled through the cache, as all other images)\n`
}

const upExamples = `
The registry is a container beside the cluster. It stores what is pushed to localhost:PORT, and caches the images of
the well-known registries and of each --upstream, with the developer's own credentials for Google, AWS and the logins in
docker's config.json. Everyone on this machine, and each container of its network, may pull and push.
The command can be repeated: it creates what is missing, and configures new nodes.

Examples:
  berth kind up
  berth kind up --workers 2 --port 5001
  berth kind up --upstream europe-west1-docker.pkg.dev
  # for those who create their clusters themselves
  berth kind up --output ctlptl > cluster.yaml
  berth kind up --registry-only --network berth`
