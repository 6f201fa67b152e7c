import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { errnoOf } from '../../src/store/files.ts'
import { eventually } from './berth.ts'
import { get } from './client.ts'
import { main } from './command.ts'
import { configFile } from './config-file.ts'
import { metricIn } from './telemetry.ts'

/** A whole Berth in a process of its own, which can be killed, traced and limited. */
export type Child = {
  readonly url: string
  readonly admin: string
  readonly cache: string
  readonly directory: string
  readonly pid: number
  /** What it has written to standard output and standard error so far. */
  output(): string
  metric(line: string): Promise<number>
  /** Paths of its open descriptors. */
  openFiles(): Promise<readonly string[]>
  isRunning(): boolean
  /** The signal that ended it, if one did. */
  endedBy(): NodeJS.Signals | undefined
  kill(signal: NodeJS.Signals): Promise<void>
}

type StartOptions = {
  readonly config: Readonly<Record<string, unknown>>
  readonly directory?: string
  /** What runs the program, such as `['prlimit', '--nofile=64']`. */
  readonly wrapper?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** That of an earlier one. */
  readonly address?: string
}

/** A loopback address of its own, on which no other process uses these ports. */
export function ownAddress(): string {
  const part = () => 1 + Math.floor(Math.random() * 254)
  return `127.${part()}.${part()}.${part()}`
}

export async function startChild(options: StartOptions): Promise<Child> {
  const directory = options.directory ?? (await mkdtemp(join(tmpdir(), 'berth-test-')))
  const address = options.address ?? ownAddress()
  const { storage = {}, ...rest } = options.config as { storage?: object }
  const config = {
    listen: `${address}:30026`,
    admin: `${address}:9026`,
    storage: { directory: join(directory, 'data'), ...storage },
    shutdown: { delay: 0, deadline: '2s' },
    ...rest,
  }
  const file = join(directory, 'berth.yaml')
  await writeFile(file, configFile(config))
  const [program = '', ...words] = [
    ...(options.wrapper ?? []),
    process.execPath,
    main,
    'serve',
    '--config',
    file,
  ]
  const child = spawn(program, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // One thread for files makes "the third write" mean the same each time.
    env: { PATH: process.env['PATH'] ?? '', UV_THREADPOOL_SIZE: '1', ...options.environment },
  })
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => output.push(chunk.toString('utf8')))
  const isRunning = () => child.exitCode === null && child.signalCode === null
  const admin = `http://${address}:9026`

  const listens = async () => {
    if (!isRunning()) throw new Error(`it did not start: ${output.join('')}`)
    const reply = await get(`${admin}/readyz`).catch(() => undefined)
    return reply?.status === 200
  }
  await eventually('it listens', listens, 120)
  const pid = await pidOf(child)

  return {
    url: `http://${address}:30026`,
    admin,
    cache: join(directory, 'data', 'cache'),
    directory,
    pid,
    output: () => output.join(''),
    metric: async (line) => metricIn((await get(`${admin}/metrics`)).body.toString('utf8'), line),
    openFiles: async () => {
      const fds = await readdir(`/proc/${pid}/fd`)
      return Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')))
    },
    isRunning,
    endedBy: () => child.signalCode ?? undefined,
    kill: async (signal) => {
      if (!isRunning()) return
      const exited = once(child, 'exit')
      try {
        process.kill(pid, signal)
      } catch (error) {
        // The process has ended already, and its parent has not reported it yet.
        if (errnoOf(error) !== 'ESRCH') throw error
      }
      await exited
    },
  }
}

/** The most memory a process has had at any time, in MiB. */
export async function peakMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024)
}

/** The program itself, below what runs it. */
async function pidOf({ pid = 0 }: ChildProcess): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const below = Number(children.trim().split(' ')[0])
  const name = below > 0 ? await readFile(`/proc/${pid}/comm`, 'utf8') : ''
  return name.trim() === 'strace' ? below : pid
}
