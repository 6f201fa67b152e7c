import type { ComponentChildren } from 'preact'
import { Crumbs } from '../catalogue/crumbs.tsx'
import { Equivalent } from '../parts/equivalent.tsx'
import { formatBytes } from '../parts/format.ts'
import { Notice } from '../parts/message.tsx'
import { Time } from '../parts/time.tsx'
import { usageLink } from '../route.ts'
import { useSession } from '../session.ts'

/** `unique`: what something holds. `own`: what is left if nothing else holds it. */
export type Bytes = { readonly unique: number; readonly own: number }
export type Kind = 'hosted' | 'cached'

type HeadProps = {
  readonly path: string
  /** When the numbers were counted. */
  readonly at: string | undefined
}

export function UsageHead({ path, at }: HeadProps) {
  const end = path.lastIndexOf('/') + 1
  const name = path.slice(end)
  return (
    <div class="view-head">
      <Crumbs
        prefix={path.slice(0, end)}
        {...(name !== '' && { name })}
        root="Usage"
        linkOf={usageLink}
      />
      {at !== undefined && (
        <p class="summary">
          Counted <Time at={at} />
        </p>
      )}
    </div>
  )
}

const verbs = { hosted: 'Deleting', cached: 'Evicting' } as const

type SentenceProps = Bytes & { readonly kind: Kind; readonly what: string }

/** What the removal of all frees, which is often less than what there is. */
export function Sentence({ kind, what, own, unique }: SentenceProps) {
  const shared = unique - own
  return (
    <p class="usage-sentence">
      {verbs[kind]} {what} frees <b>{formatBytes(own)}</b>
      {shared > 0 &&
        `, not ${formatBytes(unique)}: ${formatBytes(shared)} are also in other repositories`}
      .
    </p>
  )
}

export function Partial() {
  return (
    <Notice>
      Only repositories that you may see are counted. If others have the same layers, less is freed.
    </Notice>
  )
}

/** Two lengths of the same scale: what is freed, within what is held. */
function UsageBar({ own, unique, max }: Bytes & { readonly max: number }) {
  const length = (bytes: number) =>
    max === 0 ? 0 : Math.max(bytes > 0 ? 0.5 : 0, (100 * bytes) / max)
  return (
    <svg class="usage-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
      <rect width={length(unique)} height="8" class="series-second" />
      <rect width={length(own)} height="8" class="series-first" />
    </svg>
  )
}

/** The cells that all lists have: the bar, and both numbers. */
export function UsageCells(props: Bytes & { readonly max: number }) {
  return (
    <>
      <span role="gridcell" class="usage-cell">
        <UsageBar {...props} />
      </span>
      <span role="gridcell" class="number">
        <b>{formatBytes(props.own)}</b>
      </span>
      <span role="gridcell" class="number holds">
        {formatBytes(props.unique)}
      </span>
    </>
  )
}

export function UsageHeading({ children }: { readonly children: ComponentChildren }) {
  return (
    <>
      {children}
      <span role="columnheader" class="usage-cell">
        Share
      </span>
      <span role="columnheader" class="number">
        Frees
      </span>
      <span role="columnheader" class="number holds">
        Holds
      </span>
    </>
  )
}

/** The colours of the bars. */
export function UsageLegend() {
  return (
    <ul class="legend">
      <li>
        <i class="series-first" aria-hidden="true" />
        freed by removing this alone
      </li>
      <li>
        <i class="series-second" aria-hidden="true" />
        shared: stays as long as something else has it
      </li>
    </ul>
  )
}

/** The request that a view makes: crane has nothing like it. */
export function UsageCommand({ path }: { readonly path: string }) {
  const { user } = useSession()
  const login = user === undefined ? '' : ` -u ${user}`
  return <Equivalent command={`curl -s${login} '${new URL(`../api/${path}`, document.baseURI)}'`} />
}
