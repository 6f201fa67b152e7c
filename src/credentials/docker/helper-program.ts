import { z } from 'zod'
import { CredentialError } from '../credential-error.ts'
import { parseJson } from '../parse-json.ts'
import { quote } from '../quote.ts'
import { type Ended, runProgram } from '../run-program.ts'

/** In milliseconds; less than an exchange may take, so that it is the program that is blamed. */
const usualPatience = 9000

const nothing = 'credentials not found in native keychain'

const answerSchema = z.looseObject({ Username: z.string().default(''), Secret: z.string() })

export type HelperAnswer = { readonly username: string; readonly secret: string }

type Finished = Extract<Ended, { kind: 'ended' }>

type Question = {
  /** Without `docker-credential-` in front. */
  readonly helper: string
  /** The name that it is asked for. */
  readonly server: string
  readonly patience?: number
}

/**
 * Runs `docker-credential-HELPER get` (docker-credential-helpers, "Development"): the server's name on
 * its standard input, up to its end; JSON, or what went wrong, on its standard output. Undefined where
 * it says that it has none.
 * @throws CredentialError, which never shows what it answered.
 */
export async function askHelper({
  helper,
  server,
  patience = usualPatience,
}: Question): Promise<HelperAnswer | undefined> {
  const program = `docker-credential-${helper}`
  // A name with a path in it would be another program.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(helper))
    throw new CredentialError(`${quote(program)} is no name of a credential helper`, {
      advice: 'write it without docker-credential- and without a path, such as ecr-login',
    })
  const ended = await runProgram({ program, args: ['get'], input: server, patience })
  if (ended.kind === 'not-started') throw notStarted(program, ended.code)
  if (ended.kind === 'killed')
    throw new CredentialError(`${program} ${ended.why}, and was killed`, {
      advice: byHand(program),
    })
  const advice = `try it by hand, as Berth's user and with its environment: echo -n ${server} | ${program} get >/dev/null`
  const fail = (what: string) => new CredentialError(`${program} ${what}`, { advice })
  const said = ended.stdout.trim()
  if (ended.status !== 0 && said === nothing) return undefined
  if (ended.status !== 0) throw fail(`${howItEnded(ended)}${complaint(said, ended.stderr)}`)
  const answer = answerSchema.safeParse(parseJson(said))
  if (!answer.success)
    throw fail(`did not answer with Username and Secret in JSON${complaint('', ended.stderr)}`)
  if (answer.data.Secret === '') throw fail(`has an empty Secret for ${server}`)
  return { username: answer.data.Username, secret: answer.data.Secret }
}

function notStarted(program: string, code: string): CredentialError {
  const why = code === 'ENOENT' ? 'is not on the path' : `cannot be run: ${code}`
  return new CredentialError(`${program} ${why}`, { advice: startAdvice(program, code) })
}

function startAdvice(program: string, code: string): string | undefined {
  if (code === 'ENOENT')
    return `install ${program} in a directory of Berth's PATH (in a container: in an image of your own, or by a volume), with the interpreter that its first line names`
  if (code === 'EACCES')
    return "make it executable for Berth's user: chmod a+rx, on a file system without noexec"
  return undefined
}

function byHand(program: string): string {
  return `does ${program} wait for a person, a keychain or a network that Berth cannot reach? Try it by hand, as Berth's user`
}

function howItEnded({ status, signal }: Finished): string {
  return signal === null ? `failed with status ${status}` : `was ended by ${signal}`
}

/** What a failed program says; what looks like an answer is not told. */
function complaint(said: string, stderr: string): string {
  const told = words(said) || words(stderr)
  return told && `: ${told}`
}

function words(text: string): string {
  return /"secret"\s*:/i.test(text) ? '' : quote(text)
}
