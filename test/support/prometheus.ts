import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { ownAddress } from './child.ts'
import { removeDirectory } from './directory.ts'
import { start } from './programs.ts'

export type Sample = { readonly metric: Readonly<Record<string, string>>; readonly value: number }

/** Debian's Prometheus, which looks at its targets and at its rules each second. */
export interface Prometheus {
  query(expression: string): Promise<readonly Sample[]>
  stop(): Promise<void>
}

type Options = {
  /** Addresses, by the name of their job. */
  readonly targets: Readonly<Record<string, string>>
  /** What would stand in a file of rules. */
  readonly rules: unknown
}

const patience = 120_000

export async function startPrometheus({ targets, rules }: Options): Promise<Prometheus> {
  const directory = await mkdtemp(join(tmpdir(), 'berth-test-'))
  const config = join(directory, 'prometheus.yml')
  await writeFile(join(directory, 'rules.yml'), stringify(rules))
  await writeFile(
    config,
    stringify({
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: ['rules.yml'],
      scrape_configs: Object.entries(targets).map(([job, target]) => ({
        job_name: job,
        static_configs: [{ targets: [target] }],
      })),
    }),
  )
  const address = `${ownAddress()}:9090`
  const program = start([
    ...['prometheus', `--config.file=${config}`, `--web.listen-address=${address}`],
    ...[`--storage.tsdb.path=${join(directory, 'data')}`, '--log.level=warn'],
  ])
  const url = `http://${address}`
  const deadline = performance.now() + patience
  while (!(await isReady(url))) {
    if (program.state() !== 'it runs' || performance.now() > deadline)
      throw new Error(`no Prometheus: ${program.state()}\n${program.output()}`)
    await sleep(100)
  }

  return {
    query: async (expression) => {
      const body = new URLSearchParams({ query: expression })
      const reply = await fetch(`${url}/api/v1/query`, { method: 'POST', body })
      const answer = (await reply.json()) as Answer
      if (answer.status !== 'success') throw new Error(`${expression}: ${answer.error}`)
      return answer.data.result.map(({ metric, value: [, text] }) => ({
        metric,
        value: Number(text),
      }))
    },
    stop: async () => {
      await program.kill()
      await removeDirectory(directory)
    },
  }
}

type Answer =
  | { readonly status: 'error'; readonly error: string }
  | {
      readonly status: 'success'
      readonly data: {
        readonly result: readonly {
          readonly metric: Readonly<Record<string, string>>
          readonly value: readonly [number, string]
        }[]
      }
    }

async function isReady(url: string): Promise<boolean> {
  const reply = await fetch(`${url}/-/ready`).catch(() => undefined)
  await reply?.arrayBuffer()
  return reply?.ok === true
}
