import { useState } from 'preact/hooks'

export type Series = {
  readonly name: string
  /** Its colour in the style sheet. */
  readonly style: 'first' | 'second' | 'third'
  readonly values: readonly number[]
}

type PlotProps = {
  readonly title: string
  /** End of each bar, in milliseconds. */
  readonly times: readonly number[]
  /** Of a sample, in milliseconds. */
  readonly interval: number
  /** Stacked, the first at the bottom. */
  readonly series: readonly Series[]
  readonly format: (value: number) => string
}

const width = 600
const height = 150
/** A plot that begins is filled from the right. */
const minBars = 60
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' })

/** Stacked bars over time. The numbers are in the text below, for the bar that one points at or for all. */
export function Plot({ title, times, interval, series, format }: PlotProps) {
  const [pointed, setPointed] = useState<number>()
  const count = Math.max(1, times.length)
  const totals = times.map((_time, at) =>
    series.reduce((sum, { values }) => sum + (values[at] ?? 0), 0),
  )
  const max = Math.max(...totals, 1)
  const step = width / Math.max(count, minBars)
  const gap = step > 6 ? 2 : step > 3 ? 1 : 0
  const start = width - step * count
  const point = (event: PointerEvent) => {
    if (!(event.currentTarget instanceof Element)) return
    const box = event.currentTarget.getBoundingClientRect()
    const at = Math.floor((((event.clientX - box.left) / box.width) * width - start) / step)
    setPointed(at >= 0 && at < times.length ? at : undefined)
  }
  const at = pointed !== undefined && pointed < times.length ? pointed : undefined
  const first = times[0]
  const last = times.at(-1)
  return (
    <figure class="plot">
      <figcaption>
        <b>{title}</b>
        <span class="summary">
          {at !== undefined
            ? `until ${clock.format(times[at])}`
            : first !== undefined && last !== undefined
              ? `${clock.format(first - interval)} to ${clock.format(last)}`
              : 'nothing yet'}
        </span>
        <span class="summary">
          {max > 1 || totals.some((total) => total > 0) ? `up to ${format(max)}` : ''}
        </span>
      </figcaption>
      <svg
        viewBox={`0 0 ${width} ${height}`}
        preserveAspectRatio="none"
        aria-hidden="true"
        onPointerMove={point}
        onPointerLeave={() => setPointed(undefined)}
      >
        {[0, 0.5, 1].map((share) => (
          <line
            key={share}
            class="grid-line"
            x1="0"
            x2={width}
            y1={0.5 + (height - 1) * share}
            y2={0.5 + (height - 1) * share}
          />
        ))}
        {times.map((time, index) => {
          let top = height
          return series.map(({ name, style, values }) => {
            const value = values[index] ?? 0
            if (value === 0) return null
            const size = Math.max(1, (value / max) * (height - 4))
            top -= size
            return (
              <rect
                key={`${time} ${name}`}
                class={`series-${style}${at === undefined || at === index ? '' : ' faint'}`}
                x={start + index * step + gap / 2}
                y={top}
                width={step - gap}
                height={size}
              />
            )
          })
        })}
      </svg>
      <ul class="legend">
        {series.map(({ name, style, values }) => (
          <li key={name}>
            <i class={`series-${style}`} aria-hidden="true" />
            {name}
            <b>{format(at === undefined ? sumOf(values) : (values[at] ?? 0))}</b>
          </li>
        ))}
      </ul>
    </figure>
  )
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}
