import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { configCommand } from './config-command.ts'
import { doctorCommand } from './doctor-command.ts'
import { htpasswdCommand } from './htpasswd-command.ts'
import { pullSecretCommand } from './pull-secret-command.ts'
import { serveCommand } from './serve-command.ts'
import { trustCommand } from './trust-command.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Runs `berth …`. Errors that have a sentence are told by it alone; the exit status is 1. */
export async function run(argv: readonly string[], environment: Environment): Promise<void> {
  const version = readVersion()
  const program = new Command('berth')
    .description(
      'The in-cluster container registry: pulls through to Artifact Registry and others, verified, cached, fast',
    )
    .version(version)
    .showHelpAfterError('(berth --help shows what there is)')
    .addCommand(serveCommand({ environment, version }))
    .addCommand(configCommand())
    .addCommand(doctorCommand({ environment, version }))
    .addCommand(htpasswdCommand())
    .addCommand(pullSecretCommand())
    .addCommand(trustCommand({ environment }))
  try {
    await program.parseAsync(argv)
  } catch (error) {
    process.stderr.write(
      `berth: ${hasSentence(error) ? error.message : String(error instanceof Error ? error.stack : error)}\n`,
    )
    process.exitCode = 1
  }
}

function hasSentence(error: unknown): error is Error {
  return error instanceof Error && ['ConfigError', 'StartError', 'UsageError'].includes(error.name)
}

function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return /"version":\s*"([^"]+)"/.exec(text)?.[1] ?? 'unknown'
}
