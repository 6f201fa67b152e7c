import { formatAgo, formatDate, timeIn } from './format.ts'

/** How long ago, and the date when one points at it. */
export function Time({ at }: { readonly at: string | undefined }) {
  const time = timeIn(at)
  if (time === undefined) return <None />
  return (
    <time dateTime={at ?? ''} title={formatDate(time)}>
      {formatAgo(time, Date.now())}
    </time>
  )
}

/** A value that does not exist. */
export function None() {
  return (
    <span class="none" title="not known">
      –
    </span>
  )
}
