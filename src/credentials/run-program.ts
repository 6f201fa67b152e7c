import { type ChildProcess, spawn } from 'node:child_process'

/** For what it started to let go of its output, once it has ended, in milliseconds. */
const grace = 500

type Run = {
  readonly program: string
  readonly args: readonly string[]
  /** Of the program; ours where undefined. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
  /** For its standard input, which then ends. */
  readonly input: string
  /** Milliseconds. */
  readonly patience: number
}

/** How a program ended, with what it wrote; may be a secret. */
export type Ended =
  | {
      readonly kind: 'ended'
      readonly status: number | null
      readonly signal: NodeJS.Signals | null
      readonly stdout: string
      readonly stderr: string
    }
  /** It was not there, or not to be run; `code` as the system has it. */
  | { readonly kind: 'not-started'; readonly code: string }
  | { readonly kind: 'killed'; readonly why: string }

/** In bytes. */
const longestAnswer = 1024 * 1024
const longestComplaint = 4096

/**
 * Runs a program that gives a credential. It is in a process group of its own, so that what it started
 * ends with it: a shell that is killed would leave behind what it waits for.
 */
export async function runProgram(options: Run): Promise<Ended> {
  const { program, args, environment, input, patience } = options
  // Where too many files are open it comes without its streams, and an error that nobody may miss.
  const child: ChildProcess = spawn(program, args, {
    detached: true,
    ...(environment && { env: environment }),
  })
  const ended = Promise.withResolvers<Ended>()
  child.on('error', ({ code = 'unknown' }: NodeJS.ErrnoException) =>
    ended.resolve({ kind: 'not-started', code }),
  )
  const giveUp = (why: string) => {
    ended.resolve({ kind: 'killed', why })
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
  const release = endWithUs(child)
  // A program that does not read its input may be gone before it is written.
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)
  child.on('exit', () => {
    setTimeout(() => letGo(child), grace).unref()
  })
  child.on('close', (status, signal) =>
    ended.resolve({
      kind: 'ended',
      status,
      signal,
      stdout: textOf(stdout),
      stderr: textOf(stderr),
    }),
  )
  return ended.promise.finally(() => {
    clearTimeout(timer)
    release()
  })
}

/**
 * In a group of its own it would outlive us, and wait for what it waits for. However many run, Node is
 * not to take their listeners for a leak.
 */
function endWithUs(child: ChildProcess): () => void {
  const leave = () => killGroup(child)
  process.setMaxListeners(process.getMaxListeners() + 1)
  process.once('exit', leave)
  return () => {
    process.removeListener('exit', leave)
    process.setMaxListeners(process.getMaxListeners() - 1)
  }
}

function collect(
  stream: NodeJS.ReadableStream | null,
  limit: number,
  onTooMuch: () => void,
): readonly Buffer[] {
  const chunks: Buffer[] = []
  let size = 0
  stream?.on('error', () => {})
  stream?.on('data', (chunk: Buffer) => {
    if (size > limit) return
    size += chunk.length
    chunks.push(chunk)
    if (size > limit) onTooMuch()
  })
  return chunks
}

function textOf(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString('utf8')
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
