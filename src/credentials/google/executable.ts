import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { type ProgramResult, runProgram } from '../run-program.ts'

/** The environment that executables run in. */
export type Environment = Readonly<Record<string, string | undefined>>

type ExecutableOptions = {
  readonly command: string
  /** In milliseconds. */
  readonly timeout: number
  readonly outputFile?: string | undefined
  /** Undefined: executables may not run. */
  readonly environment: Environment | undefined
  /** Additional environment variables (AIP-4117). */
  readonly variables: Environment
}

const answerSchema = z.discriminatedUnion('success', [
  z.looseObject({
    version: z.literal(1),
    success: z.literal(true),
    id_token: z.string().optional(),
    saml_response: z.string().optional(),
    /** In seconds since 1970. */
    expiration_time: z.number().optional(),
  }),
  z.looseObject({
    version: z.literal(1),
    success: z.literal(false),
    code: z.string(),
    message: z.string(),
  }),
])

/**
 * A subject token from a program (AIP-4117). The library's own implementation is not used: a missing
 * program, or one that a signal ends, causes an uncaught exception, and it mixes standard error into
 * the answer.
 */
export async function runExecutable(options: ExecutableOptions): Promise<string> {
  const { command, outputFile, environment } = options
  if (environment === undefined)
    throw new CredentialError(
      `the credential configuration runs ${programOf(command)}, but executables are not allowed`,
      {
        advice:
          'set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 if you trust the configuration file and the program',
      },
    )
  const cached = outputFile === undefined ? undefined : await readOutputFile(outputFile)
  return cached ?? tokenIn(await run({ ...options, environment }), programOf(command))
}

function programOf(command: string): string {
  return splitCommand(command)[0] ?? command
}

/** Splits at spaces outside quotation marks. */
function splitCommand(command: string): readonly string[] {
  return (command.match(/(?:"[^"]*"|[^\s"])+/g) ?? []).map((word) => word.replaceAll('"', ''))
}

/** The answer that the program wrote to its output file, while it is valid. */
async function readOutputFile(file: string): Promise<string | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '')
  const { data } = answerSchema.safeParse(parseJson(text))
  if (data?.success !== true || (data.expiration_time ?? 0) * 1000 < Date.now()) return undefined
  return data.id_token ?? data.saml_response
}

async function run({
  command,
  timeout,
  outputFile,
  environment,
  variables,
}: ExecutableOptions & { readonly environment: Environment }): Promise<string> {
  const [program = '', ...args] = splitCommand(command)
  const output = outputFile && { GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE: outputFile }
  const ended = await runProgram({
    program,
    args,
    environment: { ...environment, ...variables, ...output },
    input: '',
    timeout,
  })
  // A program may report a failure in JSON together with an exit status.
  if (ended.kind === 'ended' && (ended.status === 0 || ended.stdout.trimStart().startsWith('{')))
    return ended.stdout
  const result = describeResult(ended)
  throw new CredentialError(`${program} ${result}`, { advice: adviceOn(result, program) })
}

/** Without the program's output, which may be the token. */
function describeResult(ended: ProgramResult): string {
  switch (ended.kind) {
    case 'not-started':
      return `cannot be run: ${ended.code}`
    case 'killed':
      return ended.reason
    case 'ended':
      return ended.signal === null
        ? `failed with status ${ended.status}`
        : `was killed by ${ended.signal}`
  }
}

function adviceOn(result: string, program: string): string {
  if (result.endsWith('ENOENT'))
    return `install ${program} at the path in credential_source.executable.command: an absolute path in Berth's container`
  if (result.endsWith('EACCES'))
    return `make ${program} executable for the user that Berth runs as: chmod a+rx`
  return `run ${program} manually, as the user that Berth runs as: it must print a token within seconds and without user input`
}

function tokenIn(output: string, program: string): string {
  const { data } = answerSchema.safeParse(parseJson(output))
  const advice = 'the program must print the JSON that AIP-4117 describes'
  if (data === undefined)
    throw new CredentialError(`${program} did not print a token in JSON`, { advice })
  if (!data.success)
    throw new CredentialError(`${program} returned an error: ${data.code}: ${data.message}`, {
      advice: 'fix the error that the program reports',
    })
  const token = data.id_token ?? data.saml_response
  if (!token) throw new CredentialError(`${program} printed an answer without a token`, { advice })
  if (data.expiration_time !== undefined && data.expiration_time * 1000 < Date.now())
    throw new CredentialError(`${program} printed an expired token`, { advice })
  return token
}
