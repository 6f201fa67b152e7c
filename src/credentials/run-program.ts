import { type ChildProcess, spawn } from 'node:child_process'

/** For child processes of the program to close its output after its exit, in milliseconds. */
const outputGracePeriod = 500

type RunOptions = {
  readonly program: string
  readonly args: readonly string[]
  /** Of the program; by default ours. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
  /** Written to standard input, which is then closed. */
  readonly input: string
  /** Milliseconds. */
  readonly timeout: number
}

/** How a program ended. Its output may contain a secret. */
export type ProgramResult =
  | {
      readonly kind: 'ended'
      readonly status: number | null
      readonly signal: NodeJS.Signals | null
      readonly stdout: string
      readonly stderr: string
    }
  /** The program is missing or not executable; `code` is the system's error code. */
  | { readonly kind: 'not-started'; readonly code: string }
  | { readonly kind: 'killed'; readonly reason: string }

/** In bytes. */
const maxStdoutBytes = 1024 * 1024
const maxStderrBytes = 4096

/**
 * Runs a program that prints a credential. It has a process group of its own, so that its child processes
 * are killed with it: a killed shell would leave its children running.
 */
export async function runProgram(options: RunOptions): Promise<ProgramResult> {
  const { program, args, environment, input, timeout } = options
  // When too many files are open, the child has no streams, and emits an error that must be handled.
  const child: ChildProcess = spawn(program, args, {
    detached: true,
    ...(environment && { env: environment }),
  })
  const result = Promise.withResolvers<ProgramResult>()
  child.on('error', ({ code = 'unknown' }: NodeJS.ErrnoException) =>
    result.resolve({ kind: 'not-started', code }),
  )
  const stop = (reason: string) => {
    result.resolve({ kind: 'killed', reason })
    killGroup(child)
  }
  const timer = setTimeout(() => stop(`did not answer within ${timeout / 1000} seconds`), timeout)
  const stdout = collect(child.stdout, maxStdoutBytes, () =>
    stop(`wrote more than ${maxStdoutBytes} bytes`),
  )
  const stderr = collect(child.stderr, maxStderrBytes, () => {})
  const release = killOnExit(child)
  // A program that does not read its input may exit before the input is written.
  child.stdin?.on('error', () => {})
  child.stdin?.end(input)
  child.on('exit', () => {
    setTimeout(() => closeStreams(child), outputGracePeriod).unref()
  })
  child.on('close', (status, signal) =>
    result.resolve({
      kind: 'ended',
      status,
      signal,
      stdout: textOf(stdout),
      stderr: textOf(stderr),
    }),
  )
  return result.promise.finally(() => {
    clearTimeout(timer)
    release()
  })
}

/**
 * A process group of its own would outlive us. Raises the limit of listeners, or many programs would
 * cause Node's warning about a leak.
 */
function killOnExit(child: ChildProcess): () => void {
  const onExit = () => killGroup(child)
  process.setMaxListeners(process.getMaxListeners() + 1)
  process.once('exit', onExit)
  return () => {
    process.removeListener('exit', onExit)
    process.setMaxListeners(process.getMaxListeners() - 1)
  }
}

function collect(
  stream: NodeJS.ReadableStream | null,
  limit: number,
  onLimit: () => void,
): readonly Buffer[] {
  const chunks: Buffer[] = []
  let size = 0
  stream?.on('error', () => {})
  stream?.on('data', (chunk: Buffer) => {
    if (size > limit) return
    size += chunk.length
    chunks.push(chunk)
    if (size > limit) onLimit()
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
    // The program has ended.
  }
  closeStreams(child)
}

function closeStreams({ stdout, stderr }: ChildProcess): void {
  stdout?.destroy()
  stderr?.destroy()
}
