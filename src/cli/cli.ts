import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { Command } from 'commander'
import { endOf, exitWhenOutputFails } from './errors.ts'

/** Of the process: programs that a command starts see what it sets. */
type Environment = Record<string, string | undefined>

type Context = { readonly environment: Environment; readonly version: string }

/**
 * Loaded when it is used: a helper is started for each pull, and must not wait for what the server
 * needs.
 */
const commands: Readonly<Record<string, (context: Context) => Promise<Command>>> = {
  serve: async (context) => (await import('./serve-command.ts')).serveCommand(context),
  config: async () => (await import('./config-command.ts')).configCommand(),
  doctor: async (context) => (await import('./doctor-command.ts')).doctorCommand(context),
  htpasswd: async () => (await import('./htpasswd-command.ts')).htpasswdCommand(),
  trust: async (context) => (await import('./trust-command.ts')).trustCommand(context),
  'pull-secret': async () => (await import('./pull-secret-command.ts')).pullSecretCommand(),
  'docker-credential': async (context) =>
    (await import('./docker-credential-command.ts')).dockerCredentialCommand(context),
  'kubelet-credential-provider': async ({ environment }) =>
    (await import('./kubelet-credential-provider-command.ts')).kubeletCredentialProviderCommand(
      environment,
    ),
}

/** Whoever starts us by these names gives no command: docker and kubelets choose a program's file. */
const commandsByName: Readonly<Record<string, string>> = {
  'docker-credential-berth': 'docker-credential',
  'berth-credential-provider': 'kubelet-credential-provider',
}

/** Runs `berth …`. A failure ends with one sentence and an exit status, never with a stack trace. */
export async function run(argv: readonly string[], environment: Environment): Promise<void> {
  const version = readVersion()
  const [node = '', file = '', ...rest] = argv
  const implied = commandsByName[basename(file)]
  const args = implied === undefined ? rest : [implied, ...rest]
  const program = new Command('berth')
    .description(
      'The in-cluster container registry: pulls through to Artifact Registry and others, verified, cached, fast',
    )
    .version(version)
    .showHelpAfterError('(berth --help shows what there is)')
  for (const load of loadersFor(args[0])) program.addCommand(await load({ environment, version }))
  exitWhenOutputFails()
  try {
    await program.parseAsync([node, file, ...args])
  } catch (error) {
    const { sentence, status } = endOf(error)
    process.stderr.write(sentence)
    process.exitCode = status
  }
}

/** Without a command's name there is help to give, or a version, or a mistake to explain: for that, all. */
function loadersFor(name: string | undefined) {
  const named = name === undefined || !Object.hasOwn(commands, name) ? undefined : commands[name]
  return named === undefined ? Object.values(commands) : [named]
}

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return /"version":\s*"([^"]+)"/.exec(text)?.[1] ?? 'unknown'
}
