import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { compileCache } from './compile-cache.ts'

/** How a command ended. */
export type Finished = {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A running `berth …`. */
export interface Command {
  readonly pid: number
  stdout(): string
  stderr(): string
  /** Waits for a text on standard output. Rejects with the whole output if the program ends before. */
  wrote(pattern: RegExp): Promise<RegExpExecArray>
  signal(name: NodeJS.Signals): void
  readonly finished: Promise<Finished>
}

export type CommandOptions = {
  /** Nothing else of our own environment is passed on but the directory of compiled modules. */
  readonly environment?: Readonly<Record<string, string>>
  readonly directory?: string
  /** For standard input, which then ends. */
  readonly input?: string
  /** Module that is loaded into the process before Berth. */
  readonly preload?: string
  /** By which file it is started: a link to `main`. */
  readonly file?: string
  /** Milliseconds until it is killed. */
  readonly patience?: number
}

/** Berth's program from its sources. */
export const sources = new URL('../../src/main.ts', import.meta.url).pathname
/**
 * Path of Berth's program: the sources, unless $BERTH_PROGRAM names another file. Suites name a bundle (`npm run bundle:tests`),
 * which starts in half the time.
 */
export const main = process.env['BERTH_PROGRAM'] ?? sources
/** Milliseconds: the machine may be busy with something else. */
const defaultPatience = 120_000

/** Starts `berth` with these arguments. */
export function startCommand(args: readonly string[], options: CommandOptions = {}): Command {
  const { environment = {}, directory, input, preload, file = main } = options
  const { patience = defaultPatience } = options
  const preloading = preload === undefined ? [] : ['--import', preload]
  const child = spawn(process.execPath, [...preloading, file, ...args], {
    env: { PATH: '/usr/bin:/bin', ...compileCache, ...environment },
    ...(directory !== undefined && { cwd: directory }),
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), patience)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (bytes: Buffer) => {
    stdout += bytes.toString()
  })
  child.stderr.on('data', (bytes: Buffer) => {
    stderr += bytes.toString()
  })
  child.stdin.on('error', () => {})
  child.stdin.end(input ?? '')
  const finished = endOf(child).then((end) => {
    clearTimeout(timer)
    return { ...end, stdout, stderr }
  })

  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    wrote: async (pattern) => {
      for (;;) {
        const match = pattern.exec(stdout)
        if (match !== null) return match
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error(`berth ${args.join(' ')} did not write ${pattern}:\n${stdout}${stderr}`)
        await sleep(20)
      }
    },
    signal: (name) => void child.kill(name),
    finished,
  }
}

/** Runs `berth` with these arguments to its end. */
export function runCommand(
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Finished> {
  return startCommand(args, options).finished
}

function endOf(child: ChildProcess): Promise<Pick<Finished, 'status' | 'signal'>> {
  const ended = Promise.withResolvers<Pick<Finished, 'status' | 'signal'>>()
  child.on('error', ended.reject)
  child.on('close', (status, signal) => ended.resolve({ status, signal }))
  return ended.promise
}
