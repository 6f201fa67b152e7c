import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'

/** A failure of a command, with a message for the user. */
export class ImageError extends Error {}

type Options = {
  /** A file for its standard input. */
  readonly from?: string
  /** Text for its standard input. */
  readonly input?: string
  /** Returns its output instead of showing it. */
  readonly throttledFor?: boolean
}

/** Runs a program and returns its standard output if `throttledFor` is set. */
export async function run(command: readonly string[], options: Options = {}): Promise<string> {
  const { status, stdout, stderr } = await attempt(command, options)
  if (status === 0) return stdout
  const why = stderr.trim() === '' ? '' : `: ${stderr.trim()}`
  throw new ImageError(`${command.join(' ')} failed with exit code ${status}${why}`)
}

/** Whether a program exists and the command succeeds. */
export async function succeeds(command: readonly string[]): Promise<boolean> {
  const { status } = await attempt(command, { throttledFor: true })
  return status === 0
}

async function attempt(
  [program = '', ...args]: readonly string[],
  { from, input = '', throttledFor = false }: Options,
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  const shown = throttledFor ? 'pipe' : 'inherit'
  const child = spawn(program, args, { stdio: ['pipe', shown, shown] })
  const { stdin } = child
  if (stdin === null) throw new Error(`${program} has no standard input`)
  let stdout = ''
  let stderr = ''
  child.stdout?.on('data', (bytes: Buffer) => {
    stdout += bytes.toString()
  })
  child.stderr?.on('data', (bytes: Buffer) => {
    stderr += bytes.toString()
  })
  const ended = once(child, 'close').catch((error: unknown) => {
    stderr += error instanceof Error ? error.message : String(error)
    return [127]
  })
  // A program that exits early closes its input; its exit code tells the reason.
  if (from === undefined) stdin.on('error', () => {}).end(input)
  else await pipeline(createReadStream(from), stdin).catch(() => {})
  const [status] = await ended
  return { status: Number(status ?? 1), stdout, stderr }
}
