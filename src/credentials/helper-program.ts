import { type ChildProcess, spawn } from 'node:child_process'
import { z } from 'zod'
import { CredentialError } from './credential-error.ts'
import { quote } from './quote.ts'

/** In milliseconds; less than an exchange may take, so that it is the program that is blamed. */
const usualPatience = 9000
/** For what it started to let go of its output, once it has ended, in milliseconds. */
const grace = 500
/** In bytes. */
const longestAnswer = 1024 * 1024
const longestComplaint = 4096

const nothing = 'credentials not found in native keychain'

const answerSchema = z.looseObject({ Username: z.string().default(''), Secret: z.string() })

export type HelperAnswer = { readonly username: string; readonly secret: string }

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
  const ended = await run({ program, input: server, patience })
  const advice = `try it by hand, as Berth's user and with its environment: echo -n ${server} | ${program} get >/dev/null`
  const fail = (what: string) => new CredentialError(`${program} ${what}`, { advice })
  const said = ended.stdout.toString('utf8').trim()
  if (ended.status !== 0 && said === nothing) return undefined
  if (ended.status !== 0) throw fail(`${howItEnded(ended)}${complaint(said, ended.stderr)}`)
  const answer = answerSchema.safeParse(parseJson(said))
  if (!answer.success)
    throw fail(`did not answer with Username and Secret in JSON${complaint('', ended.stderr)}`)
  if (answer.data.Secret === '') throw fail(`has an empty Secret for ${server}`)
  return { username: answer.data.Username, secret: answer.data.Secret }
}

type Ended = {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: Buffer
  readonly stderr: Buffer
}

type Run = { readonly program: string; readonly input: string; readonly patience: number }

/** In a process group of its own, so that what it started can be ended with it. */
async function run({ program, input, patience }: Run): Promise<Ended> {
  const child = spawn(program, ['get'], { detached: true })
  const ended = Promise.withResolvers<Ended>()
  const giveUp = (why: string) => {
    ended.reject(
      new CredentialError(`${program} ${why}, and was killed`, { advice: byHand(program) }),
    )
    killGroup(child)
  }
  const timer = setTimeout(
    () => giveUp(`did not answer within ${patience / 1000} seconds`),
    patience,
  )
  const stdout = collect(child.stdout, longestAnswer, () =>
    giveUp(`wrote more than ${longestAnswer} bytes`),
  )
  const stderr = collect(child.stderr, longestComplaint, () => {})
  // A program that does not read its input may be gone before it is written.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  child.on('error', (error) => ended.reject(notStarted(program, error)))
  child.on('exit', () => {
    setTimeout(() => letGo(child), grace).unref()
  })
  child.on('close', (status, signal) =>
    ended.resolve({ status, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) }),
  )
  try {
    return await ended.promise
  } finally {
    clearTimeout(timer)
  }
}

function collect(
  stream: NodeJS.ReadableStream,
  limit: number,
  onTooMuch: () => void,
): readonly Buffer[] {
  const chunks: Buffer[] = []
  let size = 0
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => {
    if (size > limit) return
    size += chunk.length
    chunks.push(chunk)
    if (size > limit) onTooMuch()
  })
  return chunks
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
  letGo(child)
}

function letGo({ stdout, stderr }: ChildProcess): void {
  stdout?.destroy()
  stderr?.destroy()
}

function notStarted(program: string, error: NodeJS.ErrnoException): CredentialError {
  const { code = 'unknown' } = error
  const why = code === 'ENOENT' ? 'is not on the path' : `cannot be run: ${code}`
  return new CredentialError(`${program} ${why}`, {
    advice: startAdvice(program, code),
    cause: error,
  })
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

function howItEnded({ status, signal }: Ended): string {
  return signal === null ? `failed with status ${status}` : `was ended by ${signal}`
}

/** What a failed program says; what looks like an answer is not told. */
function complaint(said: string, stderr: Buffer): string {
  const words = /"secret"\s*:/i.test(said) ? '' : quote(said)
  const told = words || quote(stderr.toString('utf8'))
  return told && `: ${told}`
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
