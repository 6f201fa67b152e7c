import type { ComponentChildren } from 'preact'
import type { TagOrder } from '../api.ts'
import { Icon } from '../parts/icon.tsx'

type HeadingProps = {
  readonly order: TagOrder
  readonly onOrder: (order: TagOrder) => void
  readonly isCached: boolean
}

export function TagHeading({ order, onOrder, isCached }: HeadingProps) {
  return (
    <>
      <span role="columnheader" class="select">
        <span class="hidden">Selected</span>
      </span>
      <Sortable sort="name" first="asc" order={order} onOrder={onOrder} cell="name">
        Tag
      </Sortable>
      <span role="columnheader" class="platforms">
        Platforms
      </span>
      <Sortable sort="size" first="desc" order={order} onOrder={onOrder} cell="number">
        Size
      </Sortable>
      <span role="columnheader" class="digest-cell">
        Digest
      </span>
      <Sortable sort="date" first="desc" order={order} onOrder={onOrder} cell="when">
        {isCached ? 'Checked' : 'Pushed'}
      </Sortable>
      <span role="columnheader" class="when pulled">
        Pulled
      </span>
      <span role="columnheader" class="state">
        State
      </span>
    </>
  )
}

type SortableProps = {
  readonly sort: TagOrder['sort']
  /** The order that the first click chooses. */
  readonly first: TagOrder['order']
  readonly order: TagOrder
  readonly onOrder: (order: TagOrder) => void
  readonly cell: string
  readonly children: ComponentChildren
}

function Sortable({ sort, first, order, onOrder, cell, children }: SortableProps) {
  const isSorted = order.sort === sort
  const ascending = order.order === 'asc'
  const next = isSorted ? (ascending ? 'desc' : 'asc') : first
  return (
    <span
      role="columnheader"
      class={cell}
      aria-sort={isSorted ? (ascending ? 'ascending' : 'descending') : 'none'}
    >
      <button
        type="button"
        class={isSorted ? `sort sorted ${order.order}` : 'sort'}
        onClick={() => onOrder({ ...order, sort, order: next })}
      >
        {children}
        <Icon name="arrow" />
      </button>
    </span>
  )
}
