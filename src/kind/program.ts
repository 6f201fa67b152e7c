import { spawn } from 'node:child_process'

/** A program that is missing or failed; the message has its command, its last words, and what to do. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError'
}

type RunOptions = {
  /** Written to standard input, which is then closed. */
  readonly input?: string
  /** Receives standard error while the program runs, for programs that report their progress. */
  readonly onProgress?: (text: string) => void
  readonly environment?: Readonly<Record<string, string | undefined>>
}

/**
 * Runs a program to its end and returns its standard output. Arguments contain no secrets: other users of the machine can
 * read them.
 */
export type Run = (command: readonly string[], options?: RunOptions) => Promise<string>

/** Characters of standard error that a message repeats. */
const maxErrorLength = 2000

/** @throws ProgramError if the program is missing, or ends with another status than 0. */
export const runProgram: Run = ([program = '', ...args], options = {}) => {
  const { input = '', onProgress, environment } = options
  const child = spawn(program, args, environment === undefined ? {} : { env: environment })
  const result = Promise.withResolvers<string>()
  const output: Buffer[] = []
  let errors = ''
  child.stdout.on('data', (bytes: Buffer) => output.push(bytes))
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-maxErrorLength)
    onProgress?.(text)
  })
  // A program that does not read its input may exit before the input is written.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  child.on('error', (cause: NodeJS.ErrnoException) =>
    result.reject(new ProgramError(notStarted(program, cause), { cause })),
  )
  child.on('close', (status, signal) => {
    if (status === 0) return result.resolve(Buffer.concat(output).toString())
    const command = [program, ...args].join(' ')
    const shown = command.length > 200 ? `${command.slice(0, 200)} …` : command
    result.reject(
      new ProgramError(
        `${shown}: ended with ${signal ?? status}: ${errors.trim() || 'no message'}`,
      ),
    )
  })
  return result.promise
}

function notStarted(program: string, { code, message }: NodeJS.ErrnoException): string {
  return code === 'ENOENT'
    ? `cannot run ${program}: it is not installed, or not in the PATH`
    : `cannot run ${program}: ${message}`
}
