import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { type Ended, runProgram } from '../run-program.ts'

/** The environment that executables run in. */
export type Environment = Readonly<Record<string, string | undefined>>

type ExecutableOptions = {
  readonly command: string
  /** In milliseconds. */
  readonly timeout: number
  readonly outputFile?: string | undefined
  /** Undefined: executables may not run. */
  readonly environment: Environment | undefined
  /** What it is told, beside the environment. */
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
 * A subject token from a program (AIP-4117). The library's own way of running it does not do here: a
 * program that is not there, or that a signal ends, is an exception nobody can catch, and what it
 * writes to standard error spoils its answer.
 */
export async function runExecutable(options: ExecutableOptions): Promise<string> {
  const { command, outputFile, environment } = options
  if (environment === undefined)
    throw new CredentialError(`the credential configuration wants to run ${programOf(command)}`, {
      advice:
        'set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1 if you trust that file and that program',
    })
  const earlier = outputFile === undefined ? undefined : await earlierToken(outputFile)
  return earlier ?? tokenIn(await run({ ...options, environment }), programOf(command))
}

function programOf(command: string): string {
  return wordsOf(command)[0] ?? command
}

/** Words are parted by spaces, but within quotation marks. */
function wordsOf(command: string): readonly string[] {
  return (command.match(/(?:"[^"]*"|[^\s"])+/g) ?? []).map((word) => word.replaceAll('"', ''))
}

/** What the program wrote into its file the last time, while that is good. */
async function earlierToken(file: string): Promise<string | undefined> {
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
  const [program = '', ...args] = wordsOf(command)
  const output = outputFile && { GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE: outputFile }
  const ended = await runProgram({
    program,
    args,
    environment: { ...environment, ...variables, ...output },
    input: '',
    patience: timeout,
  })
  // Whoever says no may do so with a status, too.
  if (ended.kind === 'ended' && (ended.status === 0 || ended.stdout.trimStart().startsWith('{')))
    return ended.stdout
  const why = whyNot(ended)
  throw new CredentialError(`${program} ${why}`, { advice: adviceOn(why, program) })
}

/** Never tells what was printed, which may be the token. */
function whyNot(ended: Ended): string {
  switch (ended.kind) {
    case 'not-started':
      return `cannot be run: ${ended.code}`
    case 'killed':
      return ended.why
    case 'ended':
      return ended.signal === null
        ? `ended with status ${ended.status}`
        : `was ended by ${ended.signal}`
  }
}

function adviceOn(why: string, program: string): string {
  if (why.endsWith('ENOENT'))
    return `put ${program} where credential_source.executable.command says: an absolute path, in Berth's own container`
  if (why.endsWith('EACCES')) return `make ${program} executable for the user that Berth runs as`
  return `run it by hand, as the user that Berth runs as: it has to print a token within seconds, without asking anybody`
}

function tokenIn(output: string, program: string): string {
  const { data } = answerSchema.safeParse(parseJson(output))
  const advice = 'it has to print the JSON that AIP-4117 describes'
  if (data === undefined)
    throw new CredentialError(`${program} printed something else than a token`, { advice })
  if (!data.success)
    throw new CredentialError(`${program} gave no token: ${data.code}: ${data.message}`, {
      advice: 'mend what it complains of',
    })
  const token = data.id_token ?? data.saml_response
  if (!token) throw new CredentialError(`${program} printed no token`, { advice })
  if (data.expiration_time !== undefined && data.expiration_time * 1000 < Date.now())
    throw new CredentialError(`${program} printed a token that has expired`, { advice })
  return token
}
