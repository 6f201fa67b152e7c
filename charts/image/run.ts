import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'

/** A command that cannot be run as asked, in a sentence that says what to do. */
export class ImageError extends Error {}

type Options = {
  /** A file that becomes its standard input. */
  readonly from?: string
  /** Written to its standard input. */
  readonly input?: string
  /** What it writes is returned, and not shown. */
  readonly quiet?: boolean
}

/** Runs a program to its end. What it wrote to standard output, if that is not shown. */
export async function run(command: readonly string[], options: Options = {}): Promise<string> {
  const { status, stdout, stderr } = await attempt(command, options)
  if (status === 0) return stdout
  const why = stderr.trim() === '' ? '' : `: ${stderr.trim()}`
  throw new ImageError(`${command.join(' ')} ended with ${status}${why}`)
}

/** Whether a program is there and does this. */
export async function succeeds(command: readonly string[]): Promise<boolean> {
  const { status } = await attempt(command, { quiet: true })
  return status === 0
}

async function attempt(
  [program = '', ...args]: readonly string[],
  { from, input = '', quiet = false }: Options,
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  const shown = quiet ? 'pipe' : 'inherit'
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
  // A program that ends early closes its input: its status says why.
  if (from === undefined) stdin.on('error', () => {}).end(input)
  else await pipeline(createReadStream(from), stdin).catch(() => {})
  const [status] = await ended
  return { status: Number(status ?? 1), stdout, stderr }
}
