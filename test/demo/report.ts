/** What happened in one pull. */
export type Round = {
  readonly what: string
  readonly seconds: number
  /** Bytes that the client received, and that Berth fetched for it. */
  readonly received: number
  readonly fetched: number
  /** Requests that the upstream saw. */
  readonly asked: number
  /** What `X-Cache` said in each answer. */
  readonly answers: readonly string[]
}

export const heading = line([
  'pull',
  'time',
  'received',
  'from upstream',
  'requests there',
  'X-Cache',
])

export function row({ what, seconds, received, fetched, asked, answers }: Round): string {
  const time = `${seconds.toFixed(2)} s`
  return line([what, time, size(received), size(fetched), String(asked), count(answers)])
}

export function size(bytes: number): string {
  return bytes === 0 ? '0' : `${(bytes / 1024 ** 2).toFixed(1)} MiB`
}

function line([
  what = '',
  time = '',
  received = '',
  fetched = '',
  asked = '',
  cache = '',
]: string[]) {
  const numbers = [
    time.padStart(8),
    received.padStart(12),
    fetched.padStart(15),
    asked.padStart(16),
  ]
  return `  ${what.padEnd(18)}${numbers.join('')}   ${cache}\n`
}

/** `8 miss`, or `1 stale, 7 hit`. */
function count(answers: readonly string[]): string {
  const kinds = [...new Set(answers)]
  return kinds.map((kind) => `${answers.filter((one) => one === kind).length} ${kind}`).join(', ')
}
