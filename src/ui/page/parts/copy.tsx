import { useEffect, useState } from 'preact/hooks'
import { Icon } from './icon.tsx'

type CopyProps = {
  readonly text: string
  /** What is copied, for the label. */
  readonly what: string
  /** -1 in lists, where the row has the focus. */
  readonly tabIndex?: number
}

/** Copies a text; the icon says that it has. */
export function Copy({ text, what, tabIndex = 0 }: CopyProps) {
  const [state, setState] = useState<'idle' | 'copied' | 'failed'>('idle')
  useEffect(() => {
    if (state === 'idle') return
    const timer = setTimeout(() => setState('idle'), 1600)
    return () => clearTimeout(timer)
  }, [state])
  useEffect(() => setState('idle'), [text])

  const copy = async (event: Event) => {
    event.preventDefault()
    event.stopPropagation()
    setState((await copyText(text)) ? 'copied' : 'failed')
  }
  const label = { idle: `Copy ${what}`, copied: 'Copied', failed: 'Cannot copy' }[state]
  return (
    <button
      type="button"
      class={`quiet copy ${state}`}
      tabIndex={tabIndex}
      aria-label={label}
      title={label}
      onClick={copy}
    >
      <Icon name={state === 'copied' ? 'check' : state === 'failed' ? 'alert' : 'copy'} />
    </button>
  )
}

/** Browsers offer the clipboard on HTTPS and localhost only; elsewhere the older command has to do. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    const area = document.createElement('textarea')
    area.value = text
    area.className = 'hidden'
    const focused = document.activeElement
    ;(document.querySelector('dialog[open]') ?? document.body).append(area)
    area.select()
    const isCopied = document.execCommand('copy')
    area.remove()
    if (focused instanceof HTMLElement) focused.focus()
    return isCopied
  }
}
