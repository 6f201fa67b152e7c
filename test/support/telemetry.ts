import { createTelemetry, type Telemetry } from '../../src/telemetry/telemetry.ts'

export type Watched = {
  readonly telemetry: Telemetry
  /** Lines of the log so far, parsed. */
  logs(): readonly Readonly<Record<string, unknown>>[]
  /** The value of a metric's line, such as `berth_cache_blobs`; 0 when there is none. */
  metric(line: string): Promise<number>
}

/** Telemetry whose lines and numbers a test can look at. */
export function watchedTelemetry(level = 'debug'): Watched {
  const lines: string[] = []
  const telemetry = createTelemetry({ level, output: { write: (line) => void lines.push(line) } })
  return {
    telemetry,
    logs: () => lines.map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>),
    metric: async (line) => metricIn(await telemetry.metrics.text(), line),
  }
}

/** The value of a line of metrics in the exposition format; 0 when there is none. */
export function metricIn(text: string, line: string): number {
  const value = text.split('\n').find((candidate) => candidate.startsWith(`${line} `))
  return Number(value?.slice(line.length + 1) ?? 0)
}

/** The sum of all lines of a metric whose labels contain all of `labels`, as `kind="blob"`. */
export function sumIn(text: string, name: string, labels: readonly string[] = []): number {
  const values = text.split('\n').flatMap((line) => {
    const isMeant = line.startsWith(`${name}{`) || line.startsWith(`${name} `)
    return isMeant && labels.every((label) => line.includes(label))
      ? [Number(line.slice(line.lastIndexOf(' ')))]
      : []
  })
  return values.reduce((sum, value) => sum + value, 0)
}
