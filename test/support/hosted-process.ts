import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { compileCache } from './compile-cache.ts'

/** A process that writes to a volume, and may be killed or stopped at any time. */
export interface HostedProcess {
  readonly pid: number
  /** Begins a push; `end SEED` is among the lines when it has ended. */
  push(seed: string): void
  /** What it acknowledged. */
  lines(): readonly string[]
  /** Waits until all pushes of a seed have ended, or the process. */
  ended(seed: string): Promise<unknown>
  isRunning(): boolean
  signal(signal: NodeJS.Signals): void
  /** Ends it, when its pushes have ended. */
  close(): Promise<void>
}

type Options = { readonly wrapper?: readonly string[]; readonly threads?: number }

/** Killed at the end of the test. `threads`: those that call for files; one makes the order of their calls the same each time. */
export async function startHostedProcess(
  t: TestContext,
  root: string,
  { wrapper = [], threads = 1 }: Options = {},
): Promise<HostedProcess> {
  const main = new URL('hosted-program.ts', import.meta.url).pathname
  const [program = '', ...words] = [...wrapper, process.execPath, main, root]
  const child = spawn(program, words, {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: {
      ...compileCache,
      PATH: process.env['PATH'] ?? '',
      UV_THREADPOOL_SIZE: String(threads),
    },
  })
  t.after(() => child.kill('SIGKILL'))
  child.stdin.on('error', () => {})
  const pushes = new Map<string, number>()
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString('utf8')
  })
  const closed = once(child, 'close')
  const lines = () => output.split('\n').slice(0, -1)
  const isRunning = () => child.exitCode === null && child.signalCode === null
  /** Until it has printed a line so often, or has ended and all that it has printed is here. */
  const printed = (isIt: (line: string) => boolean, times = 1): Promise<unknown> =>
    Promise.race([
      closed,
      new Promise<void>((resolve) => {
        const check = () => {
          if (lines().filter(isIt).length < times) return
          child.stdout.off('data', check)
          resolve()
        }
        child.stdout.on('data', check)
        check()
      }),
    ])
  await printed((line) => line.startsWith('ready'))

  return {
    pid: Number(lines()[0]?.split(' ')[1]),
    push: (seed) => {
      pushes.set(seed, (pushes.get(seed) ?? 0) + 1)
      child.stdin.write(`push ${seed}\n`)
    },
    lines,
    ended: (seed) => printed((line) => line === `end ${seed}`, pushes.get(seed)),
    isRunning,
    signal: (signal) => void child.kill(signal),
    close: async () => {
      child.stdin.end()
      await closed
    },
  }
}
