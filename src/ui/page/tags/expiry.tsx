import type { Tags } from '../../../api/answers.ts'
import { formatAgo, formatDate } from '../parts/format.ts'

type ExpiryProps = { readonly expiry: NonNullable<Tags['tags'][number]['expiry']> }

/** When retention deletes something, by which rule; nothing if it stays and no rule says so. */
export function Expiry({ expiry }: ExpiryProps) {
  const { at, rule, keptBy } = expiry
  const by = rule === undefined ? '' : ` by rule ${rule}`
  if (at === undefined || keptBy !== undefined) {
    const text = keptBy === undefined ? undefined : keptTexts[keptBy]
    return text === undefined ? null : (
      <span class="badge" title={`${text}${by}`}>
        kept
      </span>
    )
  }
  const time = Date.parse(at)
  const isDue = time <= Date.now()
  return (
    <span class="badge warn" title={`Deleted from ${formatDate(time)}${by}`}>
      {isDue ? 'expired' : `expires ${formatAgo(time, Date.now())}`}
    </span>
  )
}

const keptTexts = {
  rule: 'Kept',
  'in-use': 'Kept because a workload names it',
  pinned: 'Kept because it is pinned',
  leased: 'Kept because a push is using it',
  related: 'Kept because another image needs it',
  'no-rule': undefined,
} as const
