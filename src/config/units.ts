import { z } from 'zod'

const durations = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const sizes = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
} as const

/** Node runs a timer with a longer delay after one millisecond. */
const maxTimerDelay = 2 ** 31 - 1

/**
 * `30s`, `1h30m`, `250ms` or `0`, in milliseconds. Other numbers need a unit, because `60` could mean
 * seconds or minutes.
 */
export function duration() {
  return quantityOf(durations, 'expected a duration with a unit, such as 30s, 5m or 24h')
}

/** A duration for a timer. */
export function timeout() {
  return duration().refine((milliseconds) => milliseconds <= maxTimerDelay, {
    message: 'expected at most 24d, the maximum of a timer',
  })
}

/** The milliseconds of a duration for a timer; undefined: the text is none. */
export function parseDuration(text: string): number | undefined {
  return timeout().safeParse(text).data
}

/** `10GiB`, `500MB` or `0`, in bytes. Other numbers need a unit. */
export function size() {
  return quantityOf(sizes, 'expected a size with a unit, such as 10GiB or 500MB')
}

/** A host and port to listen on. `localhost` means 127.0.0.1 and ::1, an empty host all addresses. */
export type Address = { readonly host: string; readonly port: number }

/** `host:port`, `[::1]:port` or `:port`. */
export function address() {
  return z.codec(z.string(), z.custom<Address>(), {
    decode: (text, context) =>
      parseAddress(text) ??
      reject(context, 'expected an address such as localhost:30026, 0.0.0.0:30026 or [::1]:30026'),
    encode: ({ host, port }) => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`),
  })
}

function quantityOf(units: Readonly<Record<string, number>>, expectation: string) {
  return z.codec(z.union([z.string(), z.literal(0)], { error: expectation }), z.number(), {
    decode: (value, context) => parseUnits(String(value), units) ?? reject(context, expectation),
    encode: (value) => format(value, units),
  })
}

function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) return undefined
  return { host: match[1] ?? match[2] ?? '', port }
}

function parseUnits(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const value = text === '0' ? 0 : sumOf(text, units)
  return Number.isSafeInteger(value) ? value : undefined
}

/** NaN if the text is not a sequence of numbers with units. */
function sumOf(text: string, units: Readonly<Record<string, number>>): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)([a-zA-Z]+)/g)]
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text) return Number.NaN
  const sum = parts.reduce(
    (total, [, number, unit]) => total + Number(number) * (units[unit ?? ''] ?? Number.NaN),
    0,
  )
  return Math.round(sum)
}

function format(value: number, units: Readonly<Record<string, number>>): string {
  if (value === 0) return '0'
  const [unit, factor] = Object.entries(units)
    .filter(([, factor]) => value % factor === 0)
    .toSorted(([, a], [, b]) => b - a)[0] ?? ['', 1]
  return `${value / factor}${unit}`
}

function reject(context: { issues: unknown[]; value: unknown }, message: string): never {
  context.issues.push({ code: 'custom', message, input: context.value })
  return z.NEVER
}
