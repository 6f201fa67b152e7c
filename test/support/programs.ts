import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** A running program of a test's own. */
export interface Program {
  readonly pid: number
  /** What it wrote so far, on both outputs. */
  output(): string
  /** Whether it runs, or how it ended. */
  state(): string
  /** Waits for a match in its output. Rejects with the whole output if it ends before. */
  wrote(pattern: RegExp): Promise<RegExpExecArray>
  /** Ends it without asking, and waits until it is gone. */
  kill(): Promise<void>
}

export type RunOptions = {
  /** Nothing of our own environment but the path is passed on. */
  readonly environment?: Readonly<Record<string, string>>
  readonly directory?: string
  readonly input?: string
  /** Seconds after which it is killed, and has failed. */
  readonly patience?: number
}

export type Finished = { readonly status: number; readonly stdout: string; readonly output: string }

const path = '/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin'
/** Seconds: the machine may be busy with something else. */
const startPatience = 120
const runPatience = 180

/** What is started by this gets SIGKILL when we are gone, even if that was by SIGKILL. */
const boundToUs = ['setpriv', '--pdeathsig', 'KILL', '--']

/** Programs that are built from Go modules; Debian's are in the usual places. */
const tools = new URL('../../.ci/tools/', import.meta.url).pathname

/** Path of a program that `.ci/install` built. */
export function tool(name: string): string {
  if (!existsSync(tools + name)) throw new Error(`${tools}${name} is missing: run .ci/install`)
  return tools + name
}

/**
 * A program that dies with us, however we die. In name spaces of its own for mounts and processes,
 * which take with them whatever it has mounted and started; with a `/run` of its own, where daemons
 * would find others of their kind.
 */
export function startIsolated(command: readonly string[], options: RunOptions = {}): Program {
  const isolation = ['unshare', '--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc']
  const within = ['sh', '-c', 'mount -t tmpfs tmpfs /run && exec "$@"', 'sh']
  return start([...isolation, '--', ...within, ...command], options)
}

/** A program that dies with us, however we die. */
export function start(command: readonly string[], options: RunOptions = {}): Program {
  const child = launch(command, options)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (bytes: Buffer) => {
      output += bytes.toString()
    })
  const ended = endOf(child)

  return {
    pid: child.pid ?? 0,
    output: () => output,
    state: () => {
      const { exitCode, signalCode } = child
      if (exitCode === null && signalCode === null) return 'it runs'
      return `it ended with ${signalCode ?? exitCode}`
    },
    wrote: async (pattern) => {
      const deadline = performance.now() + startPatience * 1000
      for (;;) {
        const match = pattern.exec(output)
        if (match !== null) return match
        if (child.exitCode !== null || child.signalCode !== null || performance.now() > deadline)
          throw new Error(`${command.join(' ')} did not write ${pattern}:\n${output}`)
        await sleep(20)
      }
    },
    kill: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Runs a program to its end, with any exit status. */
export async function attempt(
  command: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const child = launch(command, options)
  let stdout = ''
  let output = ''
  child.stdout?.on('data', (bytes: Buffer) => {
    stdout += bytes.toString()
    output += bytes.toString()
  })
  child.stderr?.on('data', (bytes: Buffer) => {
    output += bytes.toString()
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), (options.patience ?? runPatience) * 1000)
  const status = await endOf(child)
  clearTimeout(timer)
  return { status, stdout, output }
}

/** Runs a program that must succeed. What it wrote to standard output. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const { status, stdout, output } = await attempt(command, options)
  if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}:\n${output}`)
  return stdout
}

function launch(command: readonly string[], options: RunOptions): ChildProcess {
  const { environment = {}, directory, input = '' } = options
  const [program = '', ...rest] = [...boundToUs, ...command]
  const child = spawn(program, rest, {
    env: { PATH: path, ...environment },
    ...(directory !== undefined && { cwd: directory }),
  })
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return child
}

/** The status; -1 after a signal. */
function endOf(child: ChildProcess): Promise<number> {
  const ended = Promise.withResolvers<number>()
  child.on('error', ended.reject)
  child.on('close', (status) => ended.resolve(status ?? -1))
  return ended.promise
}
