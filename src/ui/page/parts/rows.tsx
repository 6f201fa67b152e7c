import type { ComponentChildren, HTMLAttributes } from 'preact'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'

/** Rows above and below the visible ones that are rendered too. */
const margin = 8

type RowsProps = {
  readonly role: 'grid' | 'treegrid'
  readonly label: string
  /** For the style sheet: the widths of the columns. */
  readonly name: string
  /** Cells of the heading, each with the role `columnheader`. */
  readonly heading: ComponentChildren
  readonly count: number
  /** The cells of a row, and its other attributes. */
  readonly row: (index: number) => Row
  readonly onOpen: (index: number) => void
  /** Keys besides those that move and open; true if it has used the key. */
  readonly onKey?: (key: string, index: number) => boolean
  /** Called with the first and the last index that are rendered. */
  readonly onVisible?: (first: number, last: number) => void
  readonly isMultiselectable?: boolean
}

type Row = {
  readonly key: string
  readonly cells: ComponentChildren
  readonly attributes?: HTMLAttributes<HTMLDivElement>
}

/**
 * A list of any length that scrolls with the window: only rows near the visible ones are in the document. One
 * row can have the focus; arrows, Home, End and Page keys move it, Enter opens it.
 */
export function Rows({
  role,
  label,
  name,
  heading,
  count,
  row,
  onOpen,
  onKey,
  onVisible,
  isMultiselectable,
}: RowsProps) {
  const body = useRef<HTMLDivElement>(null)
  const { first, last, height } = useVisible(body, count)
  const [active, setActive] = useState(0)
  const current = Math.min(active, Math.max(0, count - 1))
  const focusNext = useRef(false)

  useEffect(() => onVisible?.(first, last), [first, last, onVisible])
  useLayoutEffect(() => {
    if (!focusNext.current) return
    focusNext.current = false
    body.current?.querySelector<HTMLElement>(`[aria-rowindex="${current + 2}"]`)?.focus()
  })

  const move = (to: number) => {
    const index = Math.max(0, Math.min(count - 1, to))
    setActive(index)
    focusNext.current = true
    scrollToRow(body.current, index, height)
  }
  const press = (event: KeyboardEvent) => {
    if (!(event.target instanceof HTMLElement) || event.ctrlKey || event.metaKey || event.altKey)
      return
    if (event.target.role !== 'row') return
    const page = Math.max(1, Math.floor(innerHeight / height) - 4)
    const moves: Readonly<Record<string, number>> = {
      ArrowDown: current + 1,
      ArrowUp: current - 1,
      Home: 0,
      End: count - 1,
      PageDown: current + page,
      PageUp: current - page,
    }
    const to = moves[event.key]
    if (to !== undefined) move(to)
    else if (event.key === 'Enter') onOpen(current)
    else if (onKey?.(event.key, current) !== true) return
    event.preventDefault()
  }

  const indexes = Array.from({ length: Math.max(0, last - first) }, (_, at) => first + at)
  // The row with the focus stays in the document, or the focus would be lost by scrolling.
  if (count > 0 && current < first) indexes.unshift(current)
  if (count > 0 && current >= last) indexes.push(current)
  return (
    <div
      class={`rows ${name}`}
      role={role}
      aria-label={label}
      aria-rowcount={count + 1}
      aria-multiselectable={isMultiselectable}
      data-rows
      onKeyDown={press}
    >
      <div role="rowgroup" class="rows-head">
        <div role="row" aria-rowindex={1} class="row">
          {heading}
        </div>
      </div>
      <div role="rowgroup" class="rows-body" ref={body} style={{ height: `${count * height}px` }}>
        {indexes.map((index) => {
          const { key, cells, attributes } = row(index)
          return (
            <div
              key={key}
              role="row"
              class="row"
              aria-rowindex={index + 2}
              tabIndex={index === current ? 0 : -1}
              style={{ transform: `translateY(${index * height}px)` }}
              onFocus={() => setActive(index)}
              onClick={(event) => {
                if (!isControl(event)) onOpen(index)
              }}
              {...attributes}
            >
              {cells}
            </div>
          )
        })}
      </div>
    </div>
  )
}

/** A click on a button, a link or a text that is being selected does not open the row. */
function isControl({ target }: Event): boolean {
  const isSelecting = getSelection()?.isCollapsed === false
  return (
    isSelecting || (target instanceof Element && target.closest('a, button, input, label') !== null)
  )
}

type Visible = { readonly first: number; readonly last: number; readonly height: number }

function useVisible(body: { readonly current: HTMLElement | null }, count: number): Visible {
  const [visible, setVisible] = useState<Visible>({
    first: 0,
    last: Math.min(count, 40),
    height: 44,
  })
  useLayoutEffect(() => {
    const measure = () => {
      const element = body.current
      if (element === null) return
      const height =
        Number.parseFloat(getComputedStyle(element).getPropertyValue('--row-height')) || 44
      const top = -element.getBoundingClientRect().top
      const first = Math.max(0, Math.min(count, Math.floor(top / height) - margin))
      const last = Math.max(0, Math.min(count, Math.ceil((top + innerHeight) / height) + margin))
      setVisible((before) =>
        before.first === first && before.last === last && before.height === height
          ? before
          : { first, last, height },
      )
    }
    measure()
    addEventListener('scroll', measure, { passive: true })
    addEventListener('resize', measure)
    return () => {
      removeEventListener('scroll', measure)
      removeEventListener('resize', measure)
    }
  }, [body, count])
  return { ...visible, last: Math.min(visible.last, count) }
}

/** The header of the page and that of the list cover the top of the window. */
function scrollToRow(body: HTMLElement | null, index: number, height: number): void {
  if (body === null) return
  const covered = 112
  const top = body.getBoundingClientRect().top + index * height
  if (top < covered) scrollBy({ top: top - covered, behavior: 'instant' })
  else if (top + height > innerHeight - 8)
    scrollBy({ top: top + height - innerHeight + 8, behavior: 'instant' })
}
