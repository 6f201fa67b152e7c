import { basename } from 'node:path'
import { Command } from 'commander'
import type { ClusterVerb } from './cluster/cluster-command.ts'
import { describeFailure, exitWhenOutputFails } from './process/errors.ts'
import { readVersion } from './version.ts'

/** Of this process: programs that a command starts inherit what is set here. */
type Environment = Record<string, string | undefined>

type Context = {
  readonly environment: Environment
  readonly version: string
  /** Is called when the command has ended, in whatever way. */
  readonly onExit: (close: () => Promise<void>) => void
}

const cluster =
  (verb: ClusterVerb) =>
  async ({ onExit, ...context }: Context): Promise<Command> =>
    (await import('./cluster/cluster-command.ts')).clusterCommand(verb, context, onExit)

/**
 * Each command is loaded when it runs: a credential helper starts for each pull, and must not load the
 * server's dependencies.
 */
const commands: Readonly<Record<string, (context: Context) => Promise<Command>>> = {
  serve: async (context) => (await import('./serve/serve-command.ts')).serveCommand(context),
  shim: async ({ version }) => (await import('./shim-command.ts')).shimCommand(version),
  connect: async (context) =>
    (await import('./cluster/connect-command.ts')).connectCommand(context),
  copy: cluster('copy'),
  delete: cluster('delete'),
  inspect: cluster('inspect'),
  list: cluster('list'),
  push: cluster('push'),
  completion: async () => (await import('./completion/completion-command.ts')).completionCommand(),
  config: async () => (await import('./config-command.ts')).configCommand(),
  diff: async (context) => (await import('./images/diff-command.ts')).diffCommand(context),
  doctor: async (context) => (await import('./doctor/doctor-command.ts')).doctorCommand(context),
  evict: async (context) =>
    (await import('./cached-images/evict-command.ts')).evictCommand(context),
  files: async (context) => (await import('./images/files-command.ts')).filesCommand(context),
  gc: async (context) => (await import('./administration/gc-command.ts')).gcCommand(context),
  htpasswd: async () => (await import('./credentials/htpasswd-command.ts')).htpasswdCommand(),
  image: async (context) => (await import('./images/image-command.ts')).imageCommand(context),
  'in-use': async (context) => (await import('./in-use/in-use-command.ts')).inUseCommand(context),
  kind: async (context) => (await import('./nodes/kind-command.ts')).kindCommand(context),
  operator: async (context) =>
    (await import('./install/operator-command.ts')).operatorCommand(context),
  pipe: async () => (await import('./administration/pipe-command.ts')).pipeCommand(),
  pin: async (context) => (await import('./cached-images/pin-command.ts')).pinCommand(context),
  prefetch: async (context) =>
    (await import('./cached-images/prefetch-command.ts')).prefetchCommand(context),
  pull: async (context) => (await import('./transfers/pull-command.ts')).pullCommand(context),
  refresh: async (context) =>
    (await import('./cached-images/refresh-command.ts')).refreshCommand(context),
  registry: async (context) =>
    (await import('./cluster/registry-command.ts')).registryCommand(context),
  retention: async (context) =>
    (await import('./administration/retention-command.ts')).retentionCommand(context),
  spool: async (context) => (await import('./spool/spool-command.ts')).spoolCommand(context),
  simple: async (context) => (await import('./install/simple-command.ts')).simpleCommand(context),
  status: async () => (await import('./administration/status-command.ts')).statusCommand(),
  surrogate: async (context) =>
    (await import('./nodes/surrogate-command.ts')).surrogateCommand(context),
  tag: async (context) => (await import('./administration/tag-command.ts')).tagCommand(context),
  trust: async (context) => (await import('./nodes/trust-command.ts')).trustCommand(context),
  unpin: async (context) => (await import('./cached-images/pin-command.ts')).unpinCommand(context),
  version: async ({ version }) => (await import('./version-command.ts')).versionCommand(version),
  why: async () => (await import('./administration/why-command.ts')).whyCommand(),
  'pull-secret': async () =>
    (await import('./credentials/pull-secret-command.ts')).pullSecretCommand(),
  'docker-credential': async (context) =>
    (await import('./credentials/docker-credential-command.ts')).dockerCredentialCommand(context),
  'kubelet-credential-provider': async ({ environment }) =>
    (
      await import('./credentials/kubelet-credential-provider-command.ts')
    ).kubeletCredentialProviderCommand(environment),
}

/** With the same names as commands above. */
const clusterCommands: typeof commands = {
  evict: cluster('evict'),
  pin: cluster('pin'),
  prefetch: cluster('prefetch'),
  pull: cluster('pull'),
  refresh: cluster('refresh'),
  unpin: cluster('unpin'),
  doctor: async (context) =>
    (await import('./cluster/cluster-doctor-command.ts')).clusterDoctorCommand(context),
  status: async (context) =>
    (await import('./cluster/cluster-status-command.ts')).clusterStatusCommand(context),
  why: async (context) =>
    (await import('./cluster/cluster-why-command.ts')).clusterWhyCommand(context),
}

/** `kubectl berth`: its `pull`, `why` and others are those of a cluster too. */
const pluginName = 'kubectl-berth'
/** Of `berth pull` and others for a cluster. */
const clusterOption = /^(-n|--namespace|--context|--kubeconfig|--selector)(=|$)/

/** What shells, and kubectl for its plugin, run to complete a line. */
const completing = '__complete'
const completedPlugin = 'kubectl_complete-berth'

/** Docker, kubelets and users of the spooler run a program by its file name, without a command. */
const commandsByFileName: Readonly<Record<string, string>> = {
  'docker-credential-berth': 'docker-credential',
  'berth-credential-provider': 'kubelet-credential-provider',
  'registry-pull': 'pull',
  'kubectl_complete-berth': completing,
}

/** Runs `berth …`. A failure prints a message and sets the exit status, without a stack trace. */
export async function run(argv: readonly string[], environment: Environment): Promise<void> {
  const version = readVersion()
  const [node = '', file = '', ...rest] = argv
  const implied = commandsByFileName[basename(file)]
  const args = implied === undefined ? rest : [implied, ...rest]
  const isPlugin = [pluginName, completedPlugin].includes(basename(file))
  const program = new Command(isPlugin ? 'kubectl berth' : 'berth')
    // Options of a command belong to its subcommand if they follow it.
    .enablePositionalOptions()
    .description(
      'A container registry for Kubernetes clusters: caches images of Artifact Registry and other upstreams, and stores images that are pushed to it.',
    )
    .version(version)
    .showHelpAfterError('(berth --help lists commands and options)')
  const closing: (() => Promise<void>)[] = []
  const context = {
    environment,
    version,
    onExit: (close: () => Promise<void>) => void closing.push(close),
  }
  const hasCluster = isPlugin || args.some((word) => clusterOption.test(word))
  if (args[0] === completing)
    return printCompletion({ program, context, hasCluster }, args.slice(1))
  for (const load of loadersFor(args[0], hasCluster)) program.addCommand(await load(context))
  exitWhenOutputFails()
  try {
    await program.parseAsync([node, file, ...args])
  } catch (error) {
    const { text, status } = describeFailure(error)
    process.stderr.write(text)
    process.exitCode = status
  } finally {
    for (const close of closing) await close()
  }
}

type Completing = {
  readonly program: Command
  readonly context: Context
  readonly hasCluster: boolean
}

/** Loads one command at most: a user waits. */
async function printCompletion(
  { program, context, hasCluster }: Completing,
  words: readonly string[],
): Promise<void> {
  const { complete, formatCompletion } = await import('./completion/completion.ts')
  const known = hasCluster ? { ...commands, ...clusterCommands } : commands
  const [name = '', ...rest] = words
  const load = Object.hasOwn(known, name) ? known[name] : undefined
  if (load !== undefined && rest.length > 0) program.addCommand(await load(context))
  else for (const each of Object.keys(known)) program.command(each)
  process.stdout.write(formatCompletion(complete(program, words)))
}

/** Without a known command, all commands: for the help, or for the suggestions after a typing error. */
function loadersFor(name: string | undefined, hasCluster: boolean) {
  const known = hasCluster ? { ...commands, ...clusterCommands } : commands
  const load = name === undefined || !Object.hasOwn(known, name) ? undefined : known[name]
  return load === undefined ? Object.values(known) : [load]
}
