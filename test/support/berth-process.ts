import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from './berth.ts'
import { main } from './command.ts'
import { compileCache } from './compile-cache.ts'
import { configFile } from './config-file.ts'
import { removeDirectory } from './directory.ts'
import { start } from './programs.ts'
import { sumIn } from './telemetry.ts'

/** Berth in a process of its own, with a configuration file. */
export interface BerthProcess {
  /** `localhost:PORT`, which is 127.0.0.1 and ::1. */
  readonly host: string
  readonly pid: number
  /** Lines of the log so far that are about a request. */
  requests(): readonly Readonly<Record<string, unknown>>[]
  /** As `requests`, of all responses that clients have got: a line follows its response. */
  allRequests(): Promise<readonly Readonly<Record<string, unknown>>[]>
  /** The sum of all lines of a metric whose labels contain all of `labels`, as `kind="blob"`. */
  metric(name: string, labels?: readonly string[]): Promise<number>
  /** All that it wrote. */
  output(): string
  /** The end of its output, and whether it still runs, for the message of a failed test. */
  lastWords(): string
  close(): Promise<void>
}

export async function startBerthProcess(
  config: Readonly<Record<string, unknown>>,
  environment: Readonly<Record<string, string>> = {},
): Promise<BerthProcess> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-process-'))
  const file = join(directory, 'berth.yaml')
  await writeFile(
    file,
    configFile({
      listen: 'localhost:0',
      admin: '127.0.0.1:0',
      storage: { directory: join(directory, 'data') },
      ...config,
    }),
  )
  const program = start([process.execPath, main, 'serve', '--config', file], {
    directory,
    environment: { HOME: directory, ...compileCache, ...environment },
  })
  const [line] = await program.wrote(/^\{.*"msg":"listening".*\}$/m)
  const listening = JSON.parse(line) as {
    readonly listen: readonly { readonly port: number }[]
    readonly admin: readonly { readonly port: number }[]
  }
  const metrics = `http://127.0.0.1:${listening.admin[0]?.port}/metrics`

  const requests = () => parseLines(program.output()).filter(({ msg }) => msg === 'request')
  const metric = async (name: string, labels?: readonly string[]) =>
    sumIn(await (await fetch(metrics)).text(), name, labels)

  return {
    host: `localhost:${listening.listen[0]?.port}`,
    pid: program.pid,
    requests,
    allRequests: async () => {
      await eventually('the log has a line for each request', async () => {
        const ended = await metric('berth_http_requests_total')
        return (await metric('berth_http_in_flight')) === 0 && requests().length >= ended
      })
      return requests()
    },
    metric,
    output: program.output,
    lastWords: () => [...program.output().split('\n').slice(-30), program.state()].join('\n'),
    close: async () => {
      await program.kill()
      await removeDirectory(directory)
    },
  }
}

/** The last line may not be whole yet. */
function parseLines(text: string): readonly Readonly<Record<string, unknown>>[] {
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []))
}
