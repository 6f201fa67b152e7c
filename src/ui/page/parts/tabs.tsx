import type { ComponentChildren } from 'preact'
import { useId, useRef } from 'preact/hooks'

export type Tab = { readonly id: string; readonly label: ComponentChildren }

type TabsProps = {
  readonly label: string
  readonly tabs: readonly Tab[]
  readonly chosen: string
  readonly onChoose: (id: string) => void
  /** Pills for what is chosen above other tabs. */
  readonly look?: 'line' | 'pills'
  readonly children: ComponentChildren
}

/** Tabs and the panel of the chosen one; arrow keys move between them (ARIA Authoring Practices, "Tabs"). */
export function Tabs({ label, tabs, chosen, onChoose, look = 'line', children }: TabsProps) {
  const panel = useId()
  const list = useRef<HTMLDivElement>(null)
  const move = (event: KeyboardEvent) => {
    const at = tabs.findIndex(({ id }) => id === chosen)
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key]
    if (to === undefined) return
    event.preventDefault()
    const index = (to + tabs.length) % tabs.length
    const next = tabs[index]
    if (next === undefined) return
    onChoose(next.id)
    const button = list.current?.children[index]
    if (button instanceof HTMLElement) button.focus()
  }
  return (
    <>
      <div class={`tabs ${look}`} role="tablist" aria-label={label} ref={list} onKeyDown={move}>
        {tabs.map(({ id, label }) => (
          <button
            key={id}
            type="button"
            role="tab"
            id={`${panel}-${id}`}
            aria-selected={id === chosen}
            aria-controls={panel}
            tabIndex={id === chosen ? 0 : -1}
            onClick={() => onChoose(id)}
          >
            {label}
          </button>
        ))}
      </div>
      <div role="tabpanel" id={panel} aria-labelledby={`${panel}-${chosen}`}>
        {children}
      </div>
    </>
  )
}
