import { createTelemetry, type Telemetry } from '../../src/telemetry/telemetry.ts'

export type Watched = {
  readonly telemetry: Telemetry
  /** The parsed lines of the log so far. */
  logs(): readonly Readonly<Record<string, unknown>>[]
  /** The value of a metric such as `berth_cache_blobs`; 0 if it does not exist. */
  metric(line: string): Promise<number>
}

/** Telemetry with access to its log and metrics. */
export function watchedTelemetry(level = 'debug'): Watched {
  const lines: string[] = []
  const telemetry = createTelemetry({ level, output: { write: (line) => void lines.push(line) } })
  return {
    telemetry,
    logs: () => lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>),
    metric: async (line) => metricIn(await telemetry.metrics.text(/^\w+/.exec(line)?.[0]), line),
  }
}

/** The value of a metric in the exposition format; 0 if it does not exist. */
export function metricIn(text: string, line: string): number {
  const value = text.split('\n').find((candidate) => candidate.startsWith(`${line} `))
  return Number(value?.slice(line.length + 1) ?? 0)
}

/** The sum of all series of a metric whose labels contain all of `labels`, such as `kind="blob"`. */
export function sumIn(text: string, name: string, labels: readonly string[] = []): number {
  const values = text.split('\n').flatMap((line) => {
    const matches = line.startsWith(`${name}{`) || line.startsWith(`${name} `)
    return matches && labels.every((label) => line.includes(label))
      ? [Number(line.slice(line.lastIndexOf(' ')))]
      : []
  })
  return values.reduce((sum, value) => sum + value, 0)
}
