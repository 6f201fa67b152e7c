/** The result of one pull. */
export type Round = {
  readonly pull: string
  readonly seconds: number
  /** Bytes that the client received, and that Berth fetched for it. */
  readonly received: number
  readonly fetched: number
  /** Requests that the upstream received. */
  readonly requests: number
  /** The `X-Cache` header of each answer. */
  readonly answers: readonly string[]
}

export const heading = line([
  'pull',
  'time',
  'received',
  'from upstream',
  'upstream requests',
  'X-Cache',
])

export function row({ pull, seconds, received, fetched, requests, answers }: Round): string {
  const time = `${seconds.toFixed(2)} s`
  return line([pull, time, size(received), size(fetched), String(requests), count(answers)])
}

export function size(bytes: number): string {
  return bytes === 0 ? '0' : `${(bytes / 1024 ** 2).toFixed(1)} MiB`
}

function line([
  pull = '',
  time = '',
  received = '',
  fetched = '',
  requests = '',
  cache = '',
]: string[]) {
  const numbers = [
    time.padStart(8),
    received.padStart(12),
    fetched.padStart(15),
    requests.padStart(19),
  ]
  return `  ${pull.padEnd(18)}${numbers.join('')}   ${cache}\n`
}

/** `8 miss`, or `1 stale, 7 hit`. */
function count(answers: readonly string[]): string {
  const kinds = [...new Set(answers)]
  return kinds.map((kind) => `${answers.filter((one) => one === kind).length} ${kind}`).join(', ')
}
