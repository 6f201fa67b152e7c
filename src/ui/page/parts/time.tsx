import { formatAgo, formatDate } from './format.ts'

/** How long ago, and the date when one points at it. */
export function Time({ at }: { readonly at: string | undefined }) {
  const time = at === undefined ? Number.NaN : Date.parse(at)
  if (Number.isNaN(time)) return <None />
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
