const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** Three digits and a unit, such as `4.21 MiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
  return `${value.toFixed(digits)} ${units[unit]}`
}

/** `+4.21 MiB`, `−12 B`, `no change`. */
export function formatChange(bytes: number): string {
  if (bytes === 0) return 'no change'
  return `${bytes > 0 ? '+' : '−'}${formatBytes(Math.abs(bytes))}`
}

const numbers = new Intl.NumberFormat('en')

export function formatCount(count: number): string {
  return numbers.format(count)
}

/** `1 tag`, `2 tags`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`
}

/**
 * In milliseconds; undefined if there is none. Builds that can be reproduced write the year 1, Go's zero, or 1970 where
 * nothing was set.
 */
export function timeIn(text: string | undefined): number | undefined {
  const time = Date.parse(text ?? '')
  return time > 0 ? time : undefined
}

const steps = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['week', 604_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const satisfies readonly (readonly [Intl.RelativeTimeFormatUnit, number])[]

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always', style: 'short' })

/** `3 days ago`, `in 5 min.`, `just now`. */
export function formatAgo(time: number, now: number): string {
  const seconds = (time - now) / 1000
  const step = steps.find(([, length]) => Math.abs(seconds) >= length)
  if (step === undefined) return seconds > 0 ? 'in a moment' : 'just now'
  return relative.format(Math.trunc(seconds / step[1]), step[0]).replace('.', '')
}

const dates = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' })

export function formatDate(time: number): string {
  return dates.format(time)
}

/** The first twelve digits, as docker shows them. */
export function shortDigest(digest: string): string {
  const at = digest.indexOf(':')
  return `${digest.slice(0, at + 1)}${digest.slice(at + 1, at + 13)}`
}
