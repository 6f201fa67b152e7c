import { formatSize } from '../../oci/amounts.ts'
import type { Progress } from '../../transfer/transfer.ts'
import type { ProgressDisplay } from './transfer-progress.ts'

/** A terminal; Node's own streams are. */
type Screen = {
  write(text: string): unknown
  readonly columns?: number
  readonly rows?: number
}

type Options = {
  readonly screen: Screen
  readonly now?: () => number
}

type Blob = Progress & { readonly rate: Rate }

/** Milliseconds between two drawings, and over which a rate is measured. */
const interval = 200
const rateWindow = 5000
const maxBar = 30
/** Narrower terminals get no bar, only numbers. */
const minBar = 8
/** Of all numbers of a line, and of the brackets of a bar. */
const numbersWidth = 5 + 18 + 11 + 12 + 3

/**
 * One line for each blob in flight, and one for all, redrawn below the lines of blobs that are done.
 *
 * The danger: a program that ends by a signal at any time must leave the terminal as it was. So the cursor is
 * never hidden, and stands below the last line between two drawings.
 */
export function createProgressBars({
  screen,
  now = () => performance.now(),
}: Options): ProgressDisplay {
  const blobs = new Map<string, Blob>()
  const total = createRate(now)
  /** Lengths of the lines that are on the screen. */
  let drawn: readonly number[] = []
  let above: string[] = []

  const columns = () => Math.max(screen.columns ?? 80, 20)

  /** A terminal that became narrower since has wrapped the lines. */
  const erase = (): string => {
    const rows = drawn.reduce((sum, length) => sum + Math.max(Math.ceil(length / columns()), 1), 0)
    drawn = []
    return rows === 0 ? '' : `\x1b[${rows}A\r\x1b[J`
  }

  const draw = (): void => {
    const lines = linesOf([...blobs.values()], { total, columns: columns(), rows: screen.rows })
    const cleared = erase()
    screen.write(`${cleared}${[...above, ...lines].map((line) => `${line}\n`).join('')}`)
    above = []
    drawn = lines.map((line) => line.length)
  }

  const timer = setInterval(draw, interval)
  timer.unref()
  // The shell has written below the bars meanwhile.
  const onContinue = () => {
    drawn = []
  }
  process.on('SIGCONT', onContinue)

  return {
    update: (progress) => {
      const { digest, state, sent, size } = progress
      const before = blobs.get(digest)
      const rate = before?.rate ?? createRate(now)
      if (state === 'sending') total.add(Math.max(sent - (before?.sent ?? 0), 0))
      rate.add(Math.max(sent - (before?.sent ?? 0), 0))
      blobs.set(digest, { ...progress, rate })
      if (state !== 'waiting' && state !== 'sending')
        above.push(`${shortOf(digest)} ${state} ${formatSize(size)}`)
      if (state !== 'waiting' && state !== before?.state) draw()
    },
    note: (line) => void above.push(line),
    close: () => {
      clearInterval(timer)
      process.off('SIGCONT', onContinue)
      screen.write(`${erase()}${above.map((line) => `${line}\n`).join('')}`)
      above = []
    },
  }
}

type Layout = {
  readonly total: Rate
  readonly columns: number
  readonly rows: number | undefined
}

function linesOf(blobs: readonly Blob[], { total, columns, rows = 24 }: Layout): readonly string[] {
  if (blobs.length === 0) return []
  const inFlight = blobs.filter(({ state }) => state === 'sending')
  const shown = inFlight.slice(0, Math.max(rows - 3, 0))
  const size = blobs.reduce((sum, blob) => sum + blob.size, 0)
  const done = blobs.reduce((sum, blob) => sum + doneOf(blob), 0)
  const finished = blobs.filter(({ state }) => state !== 'sending' && state !== 'waiting').length
  return [
    ...shown.map((blob) =>
      formatLine({
        name: shortOf(blob.digest),
        done: blob.sent,
        size: blob.size,
        rate: blob.rate.perSecond(),
        columns,
      }),
    ),
    formatLine({
      name: `total ${finished}/${blobs.length} blobs`,
      done,
      size,
      rate: total.perSecond(),
      columns,
    }),
  ]
}

/** What need not be sent counts as done. */
function doneOf({ state, size, sent }: Progress): number {
  return state === 'waiting' || state === 'sending' ? Math.min(sent, size) : size
}

type Line = {
  readonly name: string
  readonly done: number
  readonly size: number
  readonly rate: number
  readonly columns: number
}

/** At most one column less than the terminal has: the last one would wrap. */
function formatLine({ name, done, size, rate, columns }: Line): string {
  const share = size === 0 ? 1 : Math.min(done / size, 1)
  const left = name.padEnd(19)
  const width = columns - 1 - left.length - 1
  const numbers = [
    `${Math.floor(100 * share)} %`.padStart(5),
    ` ${formatSize(done)}/${formatSize(size)}`.padEnd(18),
    rate > 0 ? ` ${formatSize(rate)}/s`.padEnd(11) : ''.padEnd(11),
    rate > 0 && share < 1 ? ` ETA ${formatSeconds((size - done) / rate)}` : '',
  ]
  // What has no room is left out from the right.
  while (numbers.join('').trimEnd().length > width && numbers.length > 1) numbers.pop()
  const room = Math.min(width - numbersWidth, maxBar)
  const bar = room < minBar ? '' : `[${'#'.repeat(Math.round(room * share)).padEnd(room, '.')}] `
  return `${left} ${bar}${numbers.join('')}`.trimEnd().slice(0, columns - 1)
}

/** `1:05`, or `2:03:04`. */
function formatSeconds(seconds: number): string {
  const whole = Math.ceil(Math.min(seconds, 359_999))
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  const parts = hours > 0 ? [hours, `${minutes}`.padStart(2, '0')] : [minutes]
  return [...parts, `${whole % 60}`.padStart(2, '0')].join(':')
}

function shortOf(digest: string): string {
  return digest.slice(0, digest.indexOf(':') + 1 + 12)
}

interface Rate {
  add(bytes: number): void
  /** Bytes per second, over the last seconds. */
  perSecond(): number
}

function createRate(now: () => number): Rate {
  let began: number | undefined
  let samples: readonly { readonly at: number; readonly bytes: number }[] = []
  const recent = () => samples.filter(({ at }) => at > now() - rateWindow)
  return {
    add: (bytes) => {
      if (bytes === 0) return
      began ??= now()
      const last = samples.at(-1)
      // One sample for a tenth of a second, so that there are few.
      if (last !== undefined && now() - last.at < 100)
        samples = [...samples.slice(0, -1), { at: last.at, bytes: last.bytes + bytes }]
      else samples = [...recent(), { at: now(), bytes }]
    },
    perSecond: () => {
      const bytes = recent().reduce((sum, sample) => sum + sample.bytes, 0)
      const seconds = Math.min(now() - (began ?? now()), rateWindow) / 1000
      return seconds < 0.2 ? 0 : bytes / seconds
    },
  }
}
