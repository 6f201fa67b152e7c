import { z } from 'zod'
import { type AdviceRow, advise } from '../advise.ts'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { quote } from '../quote.ts'
import { type ProgramResult, runProgram } from '../run-program.ts'

/** In milliseconds. Shorter than the deadline of keep-fresh, so that the error names the program. */
const defaultTimeout = 9000

/** The output of a helper without a credential for the server (docker-credential-helpers). */
const notFoundOutput = 'credentials not found in native keychain'

const answerSchema = z.looseObject({ Username: z.string().default(''), Secret: z.string() })

export type HelperCredential = { readonly username: string; readonly secret: string }

type HelperRequest = {
  /** Without the prefix `docker-credential-`. */
  readonly helper: string
  /** The registry, as the helper knows it. */
  readonly server: string
  readonly timeout?: number
}

/**
 * Runs `docker-credential-HELPER get` (docker-credential-helpers, "Development"). Standard input is the
 * name of the server; standard output is JSON, or an error message. Undefined if the helper has no
 * credential for the server.
 * @throws CredentialError, never with the helper's answer.
 */
export async function runHelper({
  helper,
  server,
  timeout = defaultTimeout,
}: HelperRequest): Promise<HelperCredential | undefined> {
  const program = `docker-credential-${helper}`
  // A name that contains a path would run another program.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(helper))
    throw new CredentialError(`${quote(program)} is not a valid name of a credential helper`, {
      advice: 'write the name without docker-credential- and without a path, such as ecr-login',
    })
  const result = await runProgram({ program, args: ['get'], input: server, timeout })
  const fail = (problem: string) =>
    new CredentialError(`${program} ${problem}`, {
      advice: advise(rows, { program, server, result }),
    })
  if (result.kind === 'not-started')
    throw fail(result.code === 'ENOENT' ? 'is not on the PATH' : `cannot be run: ${result.code}`)
  if (result.kind === 'killed') throw fail(`${result.reason}, and was killed`)
  const output = result.stdout.trim()
  if (result.status !== 0 && output === notFoundOutput) return undefined
  if (result.status !== 0)
    throw fail(`${describeExit(result)}${describeOutput(output, result.stderr)}`)
  const answer = answerSchema.safeParse(parseJson(output))
  if (!answer.success)
    throw fail(`did not print JSON with Username and Secret${describeOutput('', result.stderr)}`)
  if (answer.data.Secret === '') throw fail(`returned an empty Secret for ${server}`)
  return { username: answer.data.Username, secret: answer.data.Secret }
}

type Failure = {
  readonly program: string
  readonly server: string
  readonly result: ProgramResult
}

const rows: readonly AdviceRow<Failure>[] = [
  {
    when: ({ result }) => result.kind === 'not-started' && result.code === 'ENOENT',
    say: ({ program }) =>
      `install ${program}, and the interpreter in its first line, in a directory of Berth's PATH (in a container: extend the image, or mount a volume)`,
  },
  {
    when: ({ result }) => result.kind === 'not-started' && result.code === 'EACCES',
    say: ({ program }) =>
      `make ${program} executable for Berth's user (chmod a+rx), on a file system that is mounted without noexec`,
  },
  {
    when: ({ result }) => result.kind === 'killed',
    say: ({ program, server }) =>
      `run it manually as Berth's user: echo -n ${server} | ${program} get >/dev/null; it must neither wait for user input, nor for a keychain or a network that Berth cannot reach`,
  },
  {
    when: ({ result }) => result.kind === 'ended',
    say: ({ program, server }) =>
      `run it manually, as Berth's user and with Berth's environment: echo -n ${server} | ${program} get >/dev/null`,
  },
]

function describeExit({ status, signal }: Extract<ProgramResult, { kind: 'ended' }>): string {
  return signal === null ? `failed with status ${status}` : `was killed by ${signal}`
}

/** The error message of a failed program; never an answer. */
function describeOutput(output: string, stderr: string): string {
  const text = withoutCredential(output) || withoutCredential(stderr)
  return text && `: ${text}`
}

function withoutCredential(text: string): string {
  return /"secret"\s*:/i.test(text) ? '' : quote(text)
}
